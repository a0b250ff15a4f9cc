"""A section of a run's page, which the template lays out."""

from __future__ import annotations

from dataclasses import dataclass

from tokensieve.explain.pictures import Bars, Chart


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        title: its heading.
        sentences: what it says.
        head: of its table; empty: there is none.
        rows: of the table.
        charts: each with its title.
        bars: with a title.
    """

    title: str
    sentences: tuple[str, ...] = ()
    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    charts: tuple[tuple[str, Chart], ...] = ()
    bars: tuple[str, Bars] | None = None
