"""A cell: one choice of a reduction method with its own settings, such as a score, a selection or a schedule.

A cell is a frozen dataclass. Its fields are its settings, and a record names it by `name`. A file that defines one puts
it into the registry of its kind, from which records are read; `tokensieve.methods` imports them all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, ClassVar

from tokensieve.checks import Check, check_values


class Cell:
    """Base of all cells. A direct subclass is a kind; its subclasses with a name are the choices of that kind.

    Attributes:
        name: what records call the cell.
        checks: the check of each field that is a plain value.
        choices: name -> class, for each kind.
        unnamed: of a kind, the cell that a record without a name means; "": it has to name one, unless there is one.
    """

    name: ClassVar[str] = ""
    checks: ClassVar[Mapping[str, Check]] = {}
    choices: ClassVar[dict[str, type[Any]]] = {}
    unnamed: ClassVar[str] = ""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if Cell in cls.__bases__:
            cls.choices = {}
        if "name" in vars(cls):
            cls.choices[cls.name] = cls

    def __post_init__(self) -> None:
        check_values(vars(self), self.checks)
        for field in fields(self):  # type: ignore[arg-type]  # every cell is a dataclass
            value = getattr(self, field.name)
            if isinstance(value, list):  # as JSON has it
                object.__setattr__(self, field.name, tuple(value))
