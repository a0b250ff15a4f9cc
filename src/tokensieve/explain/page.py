"""The page: what `explain` found, as one HTML file that needs no network and runs no script but its own.

Everything that comes from documents and labels is escaped by jinja2. A policy in the page lets the browser run the one
script whose hash it names, and load nothing.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from tokensieve.explain.corpus import in_order, is_right, judge, mean_kept, truth_of, words_by_class
from tokensieve.explain.pictures import bars, calibration_curve
from tokensieve.explain.reading import Check, Explained, Reading
from tokensieve.explain.words import Word, pieces
from tokensieve.runtime.results import Result

TEMPLATES = Path(__file__).parent / "templates"
MARK = '<!doctype html><html lang="en" data-made-by="tokensieve '
"""How every page of ours begins."""
OPEN = 10
"""Documents that are shown unfolded; all, if they are no more than twice as many."""
MOST_CLASSES = 5
"""Classes of a document whose probabilities are shown."""
LONGEST_WORD = 1000
"""Characters of a word, or of what stands between two, that are shown."""
LONGEST_REST = 400
"""Characters that are shown of what the encoder did not read."""
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]")


def visible(text: str) -> str:
    """The text with control characters, which browsers drop, as the pictures that Unicode has of them."""
    return _CONTROL.sub(lambda found: "\u2421" if found[0] == "\x7f" else chr(0x2400 + ord(found[0])), text)


def environment() -> Environment:
    """The templates, with everything escaped that is put into them."""
    found = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"visible": visible, "operations": operations, "overlap_sentence": overlap_sentence}
    script = (TEMPLATES / "slider.js").read_text(encoding="utf-8")
    digest = b64encode(sha256(script.encode()).digest()).decode()
    found.globals |= {"script": Markup(script), "script_hash": f"sha256-{digest}"}
    return found


def is_page(file: IO[str]) -> bool:
    """Whether an opened file is a page of ours, by how it begins."""
    return file.read(len(MARK)) == MARK


def write_page(out: IO[str], found: Sequence[Explained], about: Mapping[str, Any]) -> None:
    """Write the page of some documents.

    Args:
        out: where it goes.
        found: as `explain` gives them.
        about: "model" (its name), "labels", "dense" (name, or None), "dense_labels", "input" (its name) and "notes"
            (sentences on what was read).
    """
    labels = about["labels"]
    layers = sorted({word.left for one in found for own in one.readings for word in own.words if word.left})
    facts = {
        "title": f"What {about['model']} read",
        "command": "explain",
        "about": about,
        "layers": layers,
        "corpus": _corpus(found, about),
        "documents": [_document(one, about) for one in in_order(found, labels)],
        "open": len(found) if len(found) <= 2 * OPEN else OPEN,
    }
    for piece in environment().get_template("explain.html.jinja").generate(facts):
        out.write(piece)


def _corpus(found: Sequence[Explained], about: Mapping[str, Any]) -> dict[str, Any]:
    """Figures over all documents."""
    labels = about["labels"]
    judged = judge(found, labels, about["dense_labels"])
    checked = [one.check for one in found if one.check is not None and one.check.result is not None]
    read = [one for one in found if one.readings]
    stages = [one.result.stage for one in found]
    return {
        "documents": len(found),
        "stages": {stage: stages.count(stage) for stage in sorted(set(stages))},
        "deferred": sum(one.deferred for one in found),
        "disagree": sum(not one.dense_agrees for one in found) if about["dense"] else None,
        "checked": len(checked),
        "stand": sum(check.stands for check in checked),
        "tokens": _mean([one.readings[0].length for one in read]),
        "left": _mean([one.readings[0].kept[-1] for one in read if one.readings[0].kept]),
        "milliseconds": _mean([one.milliseconds for one in found]),
        "bars": bars(mean_kept(found), 460, 90),
        "words": words_by_class(found, labels),
        "judged": judged,
        "curve": None if judged is None else calibration_curve(judged.curve),
        "classes": [] if judged is None else [labels[number] for number in judged.classes],
    }


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _document(one: Explained, about: Mapping[str, Any]) -> dict[str, Any]:
    """What the template shows of one document."""
    labels, reading = about["labels"], one.readings[-1] if one.readings else None
    truth = truth_of(one)
    return {
        "one": one,
        "source": Path(one.document.source).name,
        "given": _given(one.result, labels),
        "truth": None if truth is None else sorted(truth),
        "right": is_right(one, labels),
        "dense": None if one.dense is None else _given(one.dense, about["dense_labels"]),
        "classes": _classes(one, labels, about["dense_labels"]),
        "reading": reading,
        "earlier": one.readings[:-1],
        "bars": None if reading is None else bars(_steps(reading), 300, 56),
        "parts": [_part(text, part, reading) for part, text in enumerate(_texts(one))],
        "combination": [] if reading is None else _combination(one, reading),
        "check": None if one.check is None else check_sentence(one.check, labels),
    }


def _texts(one: Explained) -> list[str]:
    return [one.document.text] if one.document.pair is None else [one.document.text, one.document.pair]


def _given(result: Result, labels: Sequence[str]) -> list[tuple[str, float]]:
    """The labels given, with their probabilities."""
    return [(labels[number], result.probabilities[number]) for number in result.labels]


def _classes(
    one: Explained, labels: Sequence[str], dense_labels: Sequence[str]
) -> list[tuple[str, float, float | None]]:
    """The most probable classes: name, probability, and dense's."""
    other = {} if one.dense is None else dict(zip(dense_labels, one.dense.probabilities, strict=True))
    rows = [(label, own, other.get(label)) for label, own in zip(labels, one.result.probabilities, strict=True)]
    return sorted(rows, key=lambda row: -row[1])[:MOST_CLASSES]


def _steps(reading: Reading) -> list[tuple[str, float]]:
    """Tokens before the first layer and after each one."""
    rows = [("0", float(reading.length))]
    rows += [(str(layer), float(count)) for layer, count in zip(reading.layers, reading.kept, strict=True)]
    return [*rows, ("c", float(reading.combination))] if reading.combination else rows


def check_sentence(check: Check, labels: Sequence[str]) -> str:
    """What the check of one document found."""
    if check.result is None:
        return f"Not checked: {check.why_none}."
    given = " and ".join(f"{label} ({own:.2f})" for label, own in _given(check.result, labels)) or "no label"
    outcome = "the label stands" if check.stands else "the label changes"
    return f"With the {check.kept} surviving words of {check.words} alone, {outcome}: {given}."


def overlap_sentence(overlap: float) -> str:
    """How the survivors agree with the exact gradient."""
    return f"{overlap:.0%} of the words that survived are among as many with the largest gradient"


def _combination(one: Explained, reading: Reading) -> list[tuple[int, list[str]]]:
    """The words that joined each combination token, in order."""
    texts, joined = _texts(one), dict[int, list[str]]()
    for word in reading.words:
        if word.joined is not None and word.survives:
            joined.setdefault(word.joined, []).append(shown(texts[word.part][word.start : word.end], 60)[0])
    return sorted(joined.items())


def shown(text: str, most: int) -> tuple[str, int]:
    """The beginning of a text, and how many characters are left out."""
    return visible(text[:most]), max(0, len(text) - most)


def _part(text: str, part: int, reading: Reading | None) -> dict[str, Any]:
    """One text of a document as the template writes it: pieces, and the rest that was not read.

    "whole": all of its words survive, so that none has to stand out.
    """
    words = [] if reading is None else [word for word in reading.words if word.part == part]
    found = [_piece(piece, word) for piece, word in pieces(text, words)]
    rest, more = shown(text[words[-1].end if words else 0 :], LONGEST_REST if reading else 4 * LONGEST_REST)
    whole = bool(words) and all(word.survives for word in words)
    return {"pieces": found, "rest": rest, "more": more, "read": reading is not None, "whole": whole}


def _piece(text: str, word: Word | None) -> tuple[str, int, Word | None, str]:
    """Text, characters left out, word (None between words), and its score, short."""
    return *shown(text, LONGEST_WORD), word, "" if word is None or word.score is None else short(word.score)


def operations(flops: float) -> str:
    """FLOPs in three digits, with a unit that leaves few zeros."""
    unit, name = (1e9, "GFLOPs") if flops >= 1e8 else (1e6, "MFLOPs")
    return f"{flops / unit:.3g} {name}"


def short(number: float) -> str:
    """A score in two digits, without a leading zero."""
    return re.sub(r"^(-?)0\.", r"\1.", f"{number:.2g}")
