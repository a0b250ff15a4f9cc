"""Ways to fold many tokens into few. A method is one file; its name finds it here."""

from __future__ import annotations

from tokensieve.combiners.merge import Merging, most_similar
from tokensieve.combiners.ptc import TokenCombiner

__all__ = ["COMBINERS", "Merging", "TokenCombiner", "most_similar"]

COMBINERS: dict[str, type[TokenCombiner]] = {"ptc": TokenCombiner}
