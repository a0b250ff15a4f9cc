"""The rule for labels: one for the values of every format, the cells of text files and the classes of y."""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from numbers import Integral, Real
from typing import Any

from tokensieve.data.rows import SURROGATE, Defect, Reason, list_names, shorten

MULTI_LABEL_REMEDY = "; read lists of labels with --multi-label (multi_label=True)"
WANTED = "a string, a whole number or a boolean"
INDICATOR_REMEDY = (
    "these look like indicators, 0 or 1 for each class: give the names of the labels that apply "
    "(TokensieveClassifier takes the matrix)"
)

_INDICATORS = frozenset({"0", "1", "0.0", "1.0", "true", "false", "True", "False"})
_CLOSING = {"[": "]", "{": "}"}
# How Python, numpy and pandas write a collection that is no plain list: array(['a']), frozenset({'a'}), set().
_CALL = re.compile(r"(?:array|Array|list|tuple|set|frozenset|deque|Index|Series)\(.*\)", re.DOTALL)
_QUOTED_ITEM = re.compile(r"[\[{]\s*['\"]")
_ZEROS_AND_ONES = re.compile(r"[01](?:[\s,;/]+[01])+")
_NUMPY_NUMBERS = re.compile(r"\[[-+.\deE\s]*\d[-+.\deE\s]*\]")
_LONGEST_LITERAL = 10_000  # characters; what is longer is no name, nor is it parsed to find out
_WHOLE = re.compile(r"(-?(?:0|[1-9][0-9]*))\.0+")


def value_name(value: Any) -> str | None:
    """Name the label that a single value stands for; None if the value can be no label.

    A string is its own name. Equal numbers have one name: 1 and 1.0 are "1". Booleans are "true" and "false".
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Integral):
        return str(int(value))
    if isinstance(value, Real | Decimal):
        number = Decimal(float(value)) if isinstance(value, Real) else value
        return str(int(number)) if number.is_finite() and number == number.to_integral_value() else None
    return None


def name_defect(line: int, name: str) -> Defect | None:
    """The defect that keeps a string from being the name of a single label; None if there is none."""
    if not name or name.isspace():
        return Defect(line, Reason.MISSING_LABEL, shorten(name))
    if SURROGATE.search(name):
        return Defect(line, Reason.ENCODING, f"label {shorten(name)}")
    if "\0" in name:
        return Defect(line, Reason.BINARY_TEXT, f"label {shorten(name)}")
    if is_written_list(name.strip()):
        return Defect(line, Reason.LABEL_TYPE, f"{shorten(name)} is a list written as text")
    return None


@dataclass(frozen=True, slots=True)
class LabelRule:
    """The rule for labels.

    Attributes:
        multi: A record has any number of labels, as a list or as a string with `separator` between them.
        separator: What divides labels within a string.
        known: The labels allowed, or None for any. Another spelling of the same label is that label: with space around
            it, or of the same number or boolean ("1.0" for "1", "True" for "true").
    """

    multi: bool = False
    separator: str = "|"
    known: Collection[str] | None = None
    _spellings: dict[str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_spellings", _spellings(self.known or ()))

    def read(self, line: int, value: object) -> str | tuple[str, ...] | Defect:
        """The label that a value stands for, or in multi-label data all of them, in the order given.

        Space around a label is no part of it.
        """
        if self.multi:
            return self._several(line, value)
        name = self._name(line, value)
        if isinstance(name, Defect):
            return name
        return self._label(name) if self._is_known(name) else self._unknown(line, name)

    def _name(self, line: int, value: object) -> str | Defect:
        """The label that a single value names, with any space around it."""
        if value is None or (isinstance(value, Real | Decimal) and value != value):
            return Defect(line, Reason.MISSING_LABEL, f"the value is {'null' if value is None else 'NaN'}")
        remedy = "" if self.multi else MULTI_LABEL_REMEDY
        name = value_name(value)
        if name is None:
            wanted = f"{type(value).__name__} {shorten(value)} where {WANTED} is wanted"
            return Defect(line, Reason.LABEL_TYPE, wanted + (remedy if isinstance(value, list) else ""))
        defect = name_defect(line, name)
        if defect is not None and defect.reason is Reason.LABEL_TYPE:
            return replace(defect, detail=defect.detail + remedy)
        return defect or name

    def _label(self, name: str) -> str:
        """The known label that a name means, else the name without space around it."""
        bare = name.strip()
        # As it stands first: a classifier of version 0.1 may know both "a" and " a".
        return self._spellings.get(name) or self._spellings.get(bare) or self._spellings.get(_same_value(bare)) or bare

    def _is_known(self, name: str) -> bool:
        return self.known is None or self._label(name) in self.known

    def _unknown(self, line: int, name: str) -> Defect:
        names = list_names(sorted(self.known or ()))
        return Defect(line, Reason.UNKNOWN_LABEL, f"{shorten(name.strip())}; the known labels are {names}")

    def _several(self, line: int, value: object) -> tuple[str, ...] | Defect:
        items = self._items(line, value)
        if isinstance(items, Defect):
            return items
        labels: list[str] = []
        foreign: Defect | None = None
        for item in items:
            name = self._name(line, item)
            if isinstance(name, Defect):
                return replace(name, detail=f"{name.detail} in {shorten(value)}")
            if not self._is_known(name):
                foreign = foreign or self._unknown(line, name)
            labels.append(self._label(name))
        twice = next((label for place, label in enumerate(labels) if label in labels[:place]), None)
        if twice is not None:
            remedy = INDICATOR_REMEDY if are_indicators(items) else "give each label that applies once"
            return Defect(line, Reason.REPEATED_LABEL, f"{shorten(twice)} in {shorten(value)}; {remedy}")
        if foreign is not None:
            hint = f"; {INDICATOR_REMEDY}" if are_indicators(items) else ""
            return replace(foreign, detail=f"{foreign.detail} in {shorten(value)}{hint}")
        return tuple(labels)

    def _items(self, line: int, value: object) -> list[Any] | Defect:
        """The labels of a value, as they are written there."""
        if value is None:
            detail = "the value is null; where no label applies, give an empty list"
            return Defect(line, Reason.MISSING_LABEL, detail)
        if not isinstance(value, str | list):
            return [value]
        items = self._cell(line, value) if isinstance(value, str) else value
        if not isinstance(items, Defect) and any(isinstance(item, bool) for item in items):
            return Defect(line, Reason.LABEL_TYPE, f"{shorten(value)}: {INDICATOR_REMEDY}")
        return items

    def _cell(self, line: int, text: str) -> list[Any] | Defect:
        """The labels of a string: of a JSON list, or divided by the separator."""
        whole = text.strip()
        if not whole:
            return []
        found = _parsed(json.loads, whole) if whole.startswith("[") else None
        if isinstance(found, list):
            return found
        if _is_in_brackets(whole) or _QUOTED_ITEM.match(whole) or is_written_list(whole):
            return Defect(
                line,
                Reason.LABEL_TYPE,
                f'{shorten(text)} is no JSON list: write one, such as ["a", "b"] (json.dumps), or the labels with '
                f"{self.separator!r} between them",
            )
        items = text.split(self.separator)
        if len(items) == 1 and _ZEROS_AND_ONES.fullmatch(whole):
            return Defect(line, Reason.LABEL_TYPE, f"{shorten(text)}: {INDICATOR_REMEDY}")
        return list(items)


def is_written_list(text: str) -> bool:
    """Whether a string is a collection of strings or numbers as JSON, Python or numpy writes it.

    "['a', 'b']", '["a"]', "[1 0 0]", "('a', 'b')" and "array(['a'])" are; "[a]", "(misc)" and "(0, 10)" are names.
    """
    if _CALL.fullmatch(text) and (text.endswith("()") or "[" in text or "{" in text):
        return True
    if text[:1] not in ("[", "(", "{") or text[-1:] not in ("]", ")", "}") or len(text) > _LONGEST_LITERAL:
        return False
    if _NUMPY_NUMBERS.fullmatch(text):
        return True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of escapes and calls in what may be no Python at all
        found = _parsed(json.loads, text) or _parsed(ast.literal_eval, text)
    if isinstance(found, tuple | set):
        return any(isinstance(item, str) for item in found)
    return isinstance(found, list | dict) or text == "[]"


def are_indicators(values: Iterable[Any]) -> bool:
    """Whether values may be 0 or 1 for each class, in place of the names of labels."""
    names = [(value_name(value) or "").strip() for value in values]
    return len(names) > 1 and _INDICATORS.issuperset(names)


def _parsed(parse: Callable[[str], Any], text: str) -> Any:
    try:
        return parse(text)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return None


def _is_in_brackets(text: str) -> bool:
    """Whether square or curly brackets open at the first character and close at the last, and not before."""
    closing = _CLOSING.get(text[0])
    depth = 0
    for place, character in enumerate(text if closing else ""):
        depth += (character == text[0]) - (character == closing)
        if depth == 0:
            return place == len(text) - 1
    return False


def _spellings(known: Collection[str]) -> dict[str, str]:
    """The known labels by each spelling that can mean only one of them; as they are, they mean themselves."""
    found = {label: label for label in known}
    for spell in (str.strip, lambda label: _same_value(label.strip())):
        labels: dict[str, list[str]] = defaultdict(list)
        for label in known:
            labels[spell(label)].append(label)
        for spelling, meant in labels.items():
            if len(meant) == 1:
                found.setdefault(spelling, meant[0])
    return found


def _same_value(text: str) -> str:
    """One spelling for all of a boolean or a whole number; any other text as it is."""
    if text in ("True", "TRUE", "False", "FALSE"):
        return text.lower()
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole else text
