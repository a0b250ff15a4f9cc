"""Ways to fold many tokens into few. A method is one file; its name finds it here."""

from __future__ import annotations

from tokensieve.combiners.ptc import TokenCombiner

__all__ = ["COMBINERS", "TokenCombiner"]

COMBINERS: dict[str, type[TokenCombiner]] = {"ptc": TokenCombiner}
