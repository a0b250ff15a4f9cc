"""`tokensieve report`: a run as one page, from its record, whatever that lacks; errors worst first."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from e2e.conftest import LABELS, Cli, labelled_rows, listing, write_rows
from e2e.pages import Element, parsed
from tokensieve.runtime.frontier import Frontier, Point

COMPAT = Path(__file__).resolve().parents[1] / "compat" / "0.1.0" / "trainings"
REPORT = ("report", "--model", "run", "--output", "run.html")


@pytest.fixture
def run(work: Path) -> Path:
    """A folder that a training of 0.1.0 made: a cascade that started from a dense classifier."""
    return Path(shutil.copytree(COMPAT / "trained", work / "run"))


def change(folder: Path, **values: Any) -> dict[str, Any]:
    file = folder / "training.json"
    record: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) | values
    file.write_text(json.dumps(record), encoding="utf-8")
    return record


def page_of(cli: Cli, *options: object) -> Element:
    outcome = cli(*REPORT, *options)
    assert outcome.code == 0, outcome.err
    return parsed(Path("run.html").read_text(encoding="utf-8"))


def test_a_run_tells_its_scores_curves_and_plan(cli: Cli, work: Path, run: Path) -> None:
    record = change(run)
    page = page_of(cli)
    assert "The run of run" in page.text
    assert f"{record['best']['eval_accuracy']:.4f}" in page.text
    assert f"{record['started_from']['best']['eval_accuracy']:.4f}" in page.text
    assert "Weights of epoch 2 were kept." in page.text
    assert f"{record['calibration']['ece_after']:.4f} after it" in page.text
    assert "96 train, 48 validation" in page.text
    assert f"confidence is below {record['reread']['below']:.4f}" in page.text
    assert f"keep_ratio{record['settings']['keep_ratio']}" in page.text, "the settings, as the record has them"
    charts = page.all("polyline")
    losses = [entry["loss"] for entry in record["history"] if "loss" in entry]
    assert [f"{loss:.4g}" in page.text for loss in losses] == [True] * len(losses)
    assert len(charts) >= 4, "two losses, two scores"
    plan = cli("info", "--model", "run", "--length", round(record["mean_length"]), "--json").json()["plan"]
    assert f"{plan['ratio']:.3f} of dense's FLOPs" in page.text
    assert "Errors" not in page.text


def test_a_frontier_is_drawn_with_the_chosen_point(cli: Cli, work: Path, run: Path) -> None:
    points = tuple(
        Point(None, None, {"encoder": 1.0}, 50 * speed, speed, score, score - 0.8, (score - 0.85, score - 0.75))
        for speed, score in ((1.0, 0.8), (4.0, 0.78125), (9.0, 0.71875))
    )
    measured = {"documents": 300, "metric": "accuracy", "dense_score": 0.8, "dense_documents_per_second": 50.0}
    Frontier(points, 1, measured | {"goal": "at most 2 points below the dense encoder"}).write(run)
    page = page_of(cli)
    assert "measured on 300 validation documents. It was chosen for: at most 2 points below" in page.text
    rows = [row for table in page.all("table") for row in table.all("tr") if "chosen" in row.text]
    (chosen,) = rows
    assert "200.0" in chosen.text
    assert "-1.9 points [-6.9, 3.1]" in chosen.text
    assert "0.7188" in page.text
    (run / "frontier.json").write_text("{}", encoding="utf-8")
    assert "frontier.json" in cli(*REPORT).error()


def test_floors_are_drawn_beside_the_classifier(cli: Cli, work: Path, run: Path) -> None:
    floors = {
        "metric": "f1_macro",
        "documents": 48,
        "encoder": {"score": 0.75, "documents_per_second": 40.0},
        "words": {"score": 0.5, "difference": -0.25, "interval": [-0.375, -0.125], "documents_per_second": 4000.0},
        "static": {"why_none": "no words"},
        "advice": "the encoder is better here",
    }
    change(run, floors=floors)
    page = page_of(cli)
    assert "The encoder is better here" in page.text
    assert "-25.0 [-37.5, -12.5]" in page.text
    assert "4,000" in page.text
    assert "mean of static vectors" not in page.text


def test_errors_come_worst_first(cli: Cli, work: Path, run: Path) -> None:
    rows = labelled_rows(30, seed=3)
    write_rows(work / "test.jsonl", rows)
    page = page_of(cli, "--data", "test.jsonl", "--max-errors", "4")
    cli("predict", "--model", "run", "--input", "test.jsonl", "--output", "out.jsonl")
    found = [json.loads(line) for line in (work / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    margins = {
        answer["line"]: answer["probabilities"][answer["label"]] - answer["probabilities"][row["label"]]
        for answer, row in zip(found, rows, strict=True)
        if answer["label"] != row["label"]
    }
    assert len(margins) > 4
    assert f"{len(margins)} of 30 documents of test.jsonl are wrong" in page.text
    table = page.all("table")[-1]
    shown = [[cell.text for cell in row.all("td")] for row in table.all("tr")[1:]]
    assert [int(cells[0]) for cells in shown] == sorted(margins, key=lambda line: (-margins[line], line))[:4]
    for line, truth, given, margin, text in shown:
        row = rows[int(line) - 1]
        assert (truth, text) == (row["label"], row["text"])
        assert given in LABELS and given != truth
        assert float(margin) == pytest.approx(margins[int(line)], abs=6e-4)


def test_a_bag_of_words(cli: Cli, work: Path) -> None:
    write_rows(work / "data.jsonl", labelled_rows(90))
    cli("train", "--preset", "words", "--data", "data.jsonl", "--output", "run", "--json").json()
    page = page_of(cli)
    record = change(work / "run")
    assert f"{record['scores']['accuracy']:.4f}" in page.text
    assert "Tokens" not in page.text


@pytest.mark.parametrize(
    "values",
    [
        {"history": None, "best": None, "settings": None, "recipe": None, "versions": None, "documents": None},
        {"history": ["text", {"epoch": "one", "loss": []}, {"epoch": 1, "loss": 1e308}], "mean_length": "long"},
        {"best": {"eval_accuracy": "high", "epoch": None}, "calibration": {"ece_before": {}}, "labels": {"a": 1}},
        {"floors": {"metric": "accuracy", "encoder": {"score": 1, "documents_per_second": 0}}},
        {"floors": {"why_none": "no validation documents"}, "reread": [], "words_first": {"score": None}},
        {"floors": {"metric": ["accuracy"]}, "history": 5, "seconds": "many", "started_from": "dense"},
    ],
)
def test_records_that_lack_or_bend_a_part(cli: Cli, work: Path, run: Path, values: dict[str, Any]) -> None:
    change(run, **values)
    assert "The run" in page_of(cli).text


def test_what_a_record_holds_is_text(cli: Cli, work: Path, run: Path) -> None:
    script = "<script>document.title='owned'</script>"
    change(run, labels=[script], data=script, versions={script: script})
    page = page_of(cli)
    assert page.text.count(script) >= 4
    assert len(page.all("script")) == 1


@pytest.mark.parametrize(
    ("given", "hints"),
    [
        (("--model", "model"), ("model", "training.json", "tokensieve train")),
        (("--model", "nowhere"), ("nowhere", "training.json")),
        (("--data", "none.jsonl"), ("none.jsonl",)),
        (("--data", "good.jsonl", "--label-column", "title"), ("title",)),
        (("--data", "good.jsonl", "--max-errors", "0"), ("max_errors=0", "1 or more")),
        (("--output", "good.jsonl", "--data", "good.jsonl"), ("is the input",)),
        (("--output", "good.jsonl"), ("good.jsonl", "not overwritten")),
    ],
)
def test_errors_name_place_and_remedy(
    cli: Cli, work: Path, run: Path, given: tuple[str, ...], hints: tuple[str, ...]
) -> None:
    before = listing(work)
    line = cli(*REPORT, *given).error()
    assert [hint for hint in hints if hint not in line] == [], line
    assert listing(work) == before


def test_a_record_that_is_no_record(cli: Cli, work: Path, run: Path) -> None:
    (run / "training.json").write_text("{", encoding="utf-8")
    line = cli(*REPORT).error()
    assert "training.json" in line and "put back" in line
