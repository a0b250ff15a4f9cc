"""A run as a page: what `training.json` tells, as sections with curves, floors, the plan, and errors worst first.

A part that the record lacks, or that has another form than training writes, is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import log10
from pathlib import Path
from typing import IO, Any

from tokensieve.backbones.loading import load_config
from tokensieve.cascade.plan import plan_of
from tokensieve.checks import is_number, read_object
from tokensieve.errors import CheckpointError
from tokensieve.explain.frontier import frontier_section
from tokensieve.explain.page import environment
from tokensieve.explain.pictures import bars, chart
from tokensieve.explain.section import Section
from tokensieve.runtime.bag_of_words import is_bag_of_words
from tokensieve.settings_paths import assignments_of
from tokensieve.training.files.card import METRICS, public_name
from tokensieve.training.files.output import RECORD
from tokensieve.training.floors.report import NAMES
from tokensieve.training.old import record_today

_LARGEST = 1e15


def read_run(folder: str | Path) -> dict[str, Any]:
    """The record of the run that made a classifier's folder, with the names of today.

    Raises:
        CheckpointError: there is none, or it cannot be read.
    """
    file = Path(folder) / RECORD
    if not file.is_file():
        raise CheckpointError(f"{folder}: has no {RECORD}: give a folder that 'tokensieve train' made")
    try:
        return record_today(read_object(file))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{file} cannot be read ({error}): put back the file that training wrote") from error


def write_report(out: IO[str], folder: str | Path, record: Mapping[str, Any], errors: Section | None = None) -> None:
    """Write the page of a run.

    Args:
        out: where it goes.
        folder: of the classifier.
        record: as `read_run` gives it.
        errors: a section that comes last, such as that of `errors_section`.

    Raises:
        CheckpointError: the folder's config.json or frontier.json cannot be read.
    """
    sections = [*sections_of(folder, record), *([] if errors is None else [errors])]
    name = Path(folder).resolve().name
    facts = {"title": f"The run of {name}", "name": name, "command": "report", "sections": sections}
    for piece in environment().get_template("report.html.jinja").generate(facts):
        out.write(piece)


def sections_of(folder: str | Path, record: Mapping[str, Any]) -> list[Section]:
    """What a record tells, in the order of the page."""
    found = [
        *(_summary(record), _scores(record), _curves(record), _floors(record), frontier_section(folder)),
        *(_plan(folder, record), _cascade(record), _settings(record), _versions(record)),
    ]
    return [section for section in found if section is not None]


def _part(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """An object within a record; an empty one where there is none."""
    found = record.get(name)
    return found if isinstance(found, Mapping) else {}


def _number(value: Any) -> float | None:
    """A number that can be drawn; None for anything else."""
    return float(value) if is_number(value) and abs(value) < _LARGEST else None


def _figure(value: Any, form: str) -> str:
    number = _number(value)
    return "-" if number is None else format(number, form)


def _summary(record: Mapping[str, Any]) -> Section:
    documents, labels = _part(record, "documents"), record.get("labels")
    data = public_name(str(record.get("data") or "")) or "documents in memory"
    counts = [f"{_figure(count, ',.0f')} {name}" for name, count in documents.items()]
    said = [f"Data: {'; '.join([data, ', '.join(counts)] if counts else [data])}."]
    if base := record.get("base"):
        said.append(f"Started from {public_name(str(base))}.")
    if isinstance(labels, list):
        shown = ", ".join(map(str, labels[:20])) + (", ..." if len(labels) > 20 else "")
        several = ", any number a document" if record.get("multi_label") else ""
        said.append(f"{len(labels)} labels{several}: {shown}.")
    if (seconds := _number(record.get("seconds"))) is not None:
        said.append(f"It took {seconds:,.0f} s.")
    if (memory := _number(record.get("peak_memory_bytes"))) is not None:
        said.append(f"Peak memory: {memory / 1e6:,.0f} MB.")
    return Section("The run", tuple(said))


def _scores(record: Mapping[str, Any]) -> Section | None:
    """Scores on the validation documents, beside those of the classifier that the run started from."""
    own = _part(record, "best") or {f"eval_{name}": value for name, value in _part(record, "scores").items()}
    start = _part(_part(record, "started_from"), "best")
    names = {f"eval_{name}": title for name, title in METRICS.items()} | {"eval_loss": "loss"}
    rows = tuple(
        (title, _figure(own[name], ".4f"), *([_figure(start.get(name), ".4f")] if start else []))
        for name, title in names.items()
        if name in own
    )
    if not rows:
        return None
    said = [f"Weights of epoch {_figure(own['epoch'], 'g')} were kept."] if "epoch" in own else []
    calibration = _part(record, "calibration")
    if calibration:
        before, after = (_figure(calibration.get(name), ".4f") for name in ("ece_before", "ece_after"))
        said.append(f"Expected calibration error: {before} before temperature scaling, {after} after it.")
    head = ("measure", "validation", *(["the classifier that it started from"] if start else []))
    return Section("Scores", tuple(said), head, rows)


def _curves(record: Mapping[str, Any]) -> Section | None:
    """Losses and scores by epoch."""
    history = record.get("history")
    entries = [own for own in history if isinstance(own, Mapping)] if isinstance(history, list) else []

    def series(name: str) -> list[tuple[float, float]]:
        pairs = ((_number(own.get("epoch")), _number(own.get(name))) for own in entries)
        return [(epoch, value) for epoch, value in pairs if epoch is not None and value is not None]

    best, charts = _number(_part(record, "best").get("epoch")), []
    for title, wanted in (
        ("loss", {"training": "loss", "validation": "eval_loss"}),
        ("score on the validation documents", {METRICS[name]: f"eval_{name}" for name in ("accuracy", "f1_macro")}),
    ):
        lines = [(name, series(key)) for name, key in wanted.items()]
        kept = [point for name, points in lines if name != "training" for point in points if point[0] == best]
        picture = chart([*lines, ("kept", kept[:1])], "epoch", title)
        if picture is not None:
            charts.append((f"{title.capitalize()} by epoch", picture))
    return Section("Curves", charts=tuple(charts)) if charts else None


def _floors(record: Mapping[str, Any]) -> Section | None:
    """The encoder and the floors: score against speed, and differences with their intervals."""
    floors = _part(record, "floors")
    metric = str(floors.get("metric"))
    if metric not in METRICS:
        return None
    rows, points = [], []
    for name, title in {"encoder": "this classifier", **NAMES}.items():
        own = _part(floors, name)
        score, speed = _number(own.get("score")), _number(own.get("documents_per_second"))
        if score is None or speed is None or speed <= 0:
            continue
        points.append((title, [(log10(speed), score)]))
        rows.append((title, f"{score:.4f}", _difference(own), f"{speed:,.0f}"))
    if not rows:
        return None
    picture = chart(points, "documents per second", METRICS[metric], x_log=True)
    said = (str(floors.get("advice") or "").capitalize(),)
    head = ("classifier", METRICS[metric], "against this one, points [95 %]", "documents/s")
    charts = () if picture is None else (("Score against speed", picture),)
    return Section("What the encoder is worth", said, head, tuple(rows), charts)


def _difference(own: Mapping[str, Any]) -> str:
    ends = own.get("interval")
    if not isinstance(ends, list) or len(ends) != 2:
        return ""
    low, high = (_figure(100 * number if (number := _number(end)) is not None else None, ".1f") for end in ends)
    difference = _number(own.get("difference"))
    return "" if difference is None else f"{100 * difference:+.1f} [{low}, {high}]"


def _plan(folder: str | Path, record: Mapping[str, Any]) -> Section | None:
    """Tokens that a document of mean length keeps, and its FLOPs."""
    if is_bag_of_words(folder):
        return None
    config = load_config(folder)
    mean = _number(record.get("mean_length"))
    length = min(max(1, round(mean or 128)), config.longest_document)
    plan = plan_of(config, length)
    rows = [("0", float(length)), *((str(step.number), step.kept) for step in plan.steps)]
    most = "at most " if plan.basis == "bounds" else ""
    less = f"{plan.ratio:.3f} of dense's FLOPs ({plan.reduction:.2f} times fewer)"
    said = f"A document of {length} tokens costs {most}{less}."
    folded = tuple(
        f"In step {step.number} the text is folded into {step.kept:g} combination tokens."
        for step in plan.steps
        if step.kind == "combine"
    )
    title = f"Tokens after each step, {most}in a document of mean length"
    return Section("Tokens", (said, *folded), bars=(title, bars(rows, 460, 90)))


def _cascade(record: Mapping[str, Any]) -> Section | None:
    """What stages of a cascade defer."""
    said = []
    if own := _part(record, "cascade"):
        share, below = _figure(own.get("share"), ".1%"), _figure(own.get("below"), ".4f")
        said.append(
            f"The first encoder defers documents whose confidence is below {below}: {share} of those for validation. "
            f"The second encoder gave {_figure(own.get('changed'), '.0f')} of them another label."
        )
    if own := _part(record, "words_first"):
        whole, encoder, words = (_figure(own.get(name), ".4f") for name in ("score", "encoder_score", "words_score"))
        said.append(
            f"A bag of words goes ahead. The whole scores {whole}, the encoder alone {encoder}, the bag of words alone "
            f"{words}."
        )
    return Section("Cascade", tuple(said)) if said else None


def _settings(record: Mapping[str, Any]) -> Section | None:
    def rows() -> Iterator[tuple[str, str]]:
        for prefix, name in (("", "settings"), ("train.", "recipe")):
            values = {key: value for key, value in _part(record, name).items() if key != "format_version"}
            for assignment in assignments_of(values):
                if assignment.value is not None:
                    yield prefix + assignment.name, str(assignment.value)

    found = tuple(rows())
    return Section("Settings", (), ("setting", "value"), found) if found else None


def _versions(record: Mapping[str, Any]) -> Section | None:
    made = ", ".join(f"{name} {version}" for name, version in _part(record, "versions").items())
    return Section("Made with", (f"{made}.",)) if made else None


@dataclass(frozen=True)
class Error:
    """A document whose answer is wrong.

    Attributes:
        line: of its file.
        truth: true labels.
        given: labels given.
        margin: probability of the highest label that is wrongly given or wrongly left out, above that of the truth.
        text: its beginning.
    """

    line: int
    truth: tuple[str, ...]
    given: tuple[str, ...]
    margin: float
    text: str


def errors_section(errors: Sequence[Error], documents: int, source: str, most: int) -> Section:
    """Errors, the surest first.

    Args:
        errors: all of them.
        documents: how many there were.
        source: name of their file.
        most: how many are shown.
    """
    worst = sorted(errors, key=lambda own: (-own.margin, own.line))[:most]
    rows = tuple(
        (str(own.line), ", ".join(own.truth) or "none", ", ".join(own.given) or "none", f"{own.margin:.3f}", own.text)
        for own in worst
    )
    said = f"{len(errors)} of {documents} documents of {source} are wrong; the surest errors come first."
    shown = (f"The table has the first {most}.",) if len(errors) > most else ()
    head = ("line", "true", "given", "margin", "text") if rows else ()
    return Section("Errors, worst first", (said, *shown), head, rows)
