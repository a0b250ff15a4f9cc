"""`tokensieve evaluate` and `tokensieve info`: figures that agree with the predictions and with the plan."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import tokensieve
from e2e.conftest import LABELS, Cli, labelled_rows, write_rows

EVALUATE = ("evaluate", "--model", "model", "--device", "cpu", "--data")


def test_the_figures(cli: Cli, work: Path) -> None:
    outcome = cli(*EVALUATE, "good.jsonl", "--json")
    scores = outcome.json()
    assert outcome.err == ""
    classifier = tokensieve.load("model", device="cpu")
    rows = labelled_rows(24)
    results = classifier.results(row["text"] for row in rows)
    right = [classifier.labels[result.label] == row["label"] for result, row in zip(results, rows, strict=True)]
    assert scores["accuracy"] == scores["f1_micro"] == sum(right) / 24
    assert 0 <= scores["f1_macro"] <= 1
    assert scores["documents"] == 24
    assert scores["documents_per_second"] > 0
    assert 50e6 < scores["loaded_memory_bytes"] <= scores["peak_memory_bytes"]
    steps = zip(*(result.kept for result in results), strict=True)
    assert scores["kept_tokens"] == pytest.approx([sum(step) / 24 for step in steps])
    assert list(scores["classes"]) == list(LABELS)
    assert {name: row["support"] for name, row in scores["classes"].items()} == dict.fromkeys(LABELS, 8)
    hit = sum(row["recall"] * row["support"] for row in scores["classes"].values())
    assert hit == pytest.approx(sum(right))
    assert (scores["batch_tokens"], scores["dtype"], scores["environment"]["dtype"]) == (4096, "float32", "float32")
    assert not scores["offload_embeddings"]
    assert scores["environment"].keys() >= {"device", "dtype", "threads", "torch", "transformers", "tokensieve"}


@pytest.mark.parametrize("kind", ["csv", "tsv.gz", "parquet"])
def test_other_formats_give_the_same(cli: Cli, work: Path, kind: str) -> None:
    write_rows(work / f"data.{kind}", labelled_rows(24, text="body", label="topic"))
    named = ("--text-column", "body", "--label-column", "topic")
    scores = [
        cli(*EVALUATE, name, "--json", *flags).json() for name, flags in (("good.jsonl", ()), (f"data.{kind}", named))
    ]
    assert scores[0]["classes"] == scores[1]["classes"]


def test_offloaded_embeddings_give_the_same(cli: Cli, work: Path) -> None:
    whole, lean = (cli(*EVALUATE, "good.jsonl", "--json", *flags).json() for flags in ((), ("--offload-embeddings",)))
    assert lean["offload_embeddings"]
    differ = {"offload_embeddings", "documents_per_second", "seconds", "loaded_memory_bytes", "peak_memory_bytes"}
    assert {key: lean[key] for key in lean.keys() - differ} == {key: whole[key] for key in whole.keys() - differ}


def test_another_share_of_the_tokens(cli: Cli, work: Path) -> None:
    """The classifier keeps fewer tokens than the folder says; a share that is none is one line."""
    own, fewer = (cli(*EVALUATE, "good.jsonl", "--json", *flags).json() for flags in ((), ("--keep", "0.3")))
    assert own["kept_tokens"][0] >= fewer["kept_tokens"][0]
    assert sum(own["kept_tokens"]) > sum(fewer["kept_tokens"])
    assert "keep=2.0: give a number in (0, 1]" in cli(*EVALUATE, "good.jsonl", "--keep", "2").error()


def test_what_is_said_to_people(cli: Cli, work: Path) -> None:
    outcome = cli(*EVALUATE, "good.jsonl")
    for said in (
        "accuracy",
        "batches",
        "4096 tokens, in float32",
        "macro F1",
        "documents per second",
        "peak memory",
        "tokens kept per layer",
        *LABELS,
    ):
        assert said in outcome.out
    assert "evaluating" in outcome.err


def test_unknown_labels_skipped_are_reported(cli: Cli, work: Path) -> None:
    rows = labelled_rows(24)
    rows[4]["label"], rows[9]["label"], rows[10]["text"] = "unheard-of", "Film", " "
    write_rows(work / "data.csv", rows)
    scores = cli(*EVALUATE, "data.csv", "--on-bad-rows", "skip", "--json").json()
    assert scores["documents"] == scores["rows"]["used"] == 21
    assert scores["rows"]["reasons"] == {"unknown label": 2, "empty text": 1}
    assert [example["line"] for example in scores["rows"]["examples"]] == [6, 11, 12]
    assert sum(row["support"] for row in scores["classes"].values()) == 21
    assert "3 of 24 rows left out" in cli(*EVALUATE, "data.csv", "--on-bad-rows", "skip").out


def test_an_unknown_label_stops_all(cli: Cli, work: Path) -> None:
    rows = labelled_rows(24)
    rows[4]["label"] = "unheard-of"
    write_rows(work / "data.csv", rows)
    line = cli(*EVALUATE, "data.csv").error()
    assert "data.csv, line 6: unknown label: 'unheard-of'; the known labels are 'film', 'law', 'sport'" in line


def test_classes_that_do_not_occur(cli: Cli, work: Path) -> None:
    write_rows(work / "data.jsonl", [row for row in labelled_rows(24) if row["label"] == "film"])
    scores = cli(*EVALUATE, "data.jsonl", "--json").json()
    assert {name: row["support"] for name, row in scores["classes"].items()} == {"film": 8, "law": 0, "sport": 0}


def test_truncated_documents_and_a_limit(cli: Cli, work: Path) -> None:
    lengths = [len(row["text"].split()) + 2 for row in labelled_rows(24)]
    scores = cli(*EVALUATE, "good.jsonl", "--max-length", "10", "--json").json()
    assert scores["truncated"] == sum(length > 10 for length in lengths) > 0
    assert scores["mean_length"] == pytest.approx(sum(min(length, 10) for length in lengths) / 24)
    assert cli(*EVALUATE, "good.jsonl", "--max-documents", "6", "--json").json()["documents"] == 6


def test_a_classifier_of_something_else_has_no_default_data(cli: Cli, work: Path) -> None:
    line = cli("evaluate", "--model", "model").error()
    assert "not trained on the embedded corpus" in line
    assert "--data" in line


def test_info_on_a_classifier(cli: Cli, work: Path) -> None:
    record = cli("info", "--model", "model", "--length", "40", "--json").json()
    model = tokensieve.load("model", device="cpu").model
    assert record["plan"] == json.loads(json.dumps(model.plan(length=40).to_dict()))
    assert record["labels"] == list(LABELS)
    assert record["trained"] is True
    assert record["settings"] == model.config.reduction
    said = cli("info", "--model", "model", "--length", "40").out
    assert "film, law, sport" in said
    assert str(model.plan(length=40)) in said


@pytest.mark.parametrize(
    ("preset", "combines"), [("dense", None), ("paper-p", None), ("paper-pfc-7", "7/12"), ("paper-c-11", "11/12")]
)
def test_info_on_a_checkpoint(cli: Cli, work: Path, preset: str, combines: str | None) -> None:
    record = cli("info", "--model", "base", "--length", "64", "--preset", preset, "--json").json()
    assert (record["settings"]["combine"] or {}).get("layer") == combines
    assert record["trained"] is False
    assert record["longest_document"] == 64
    model = tokensieve.compress("base", tokensieve.ReductionConfig.preset(preset))
    assert record["plan"]["flops"] == pytest.approx(model.plan(length=64).flops, rel=0.01)
    assert (record["plan"]["ratio"] == 1) == (preset == "dense")


def test_info_with_changes(cli: Cli, work: Path) -> None:
    flags = ("--preset", "paper-pfc-7", "--keep", "0.5", "--set", "prune.site=hidden", "--set", "combine.layer=4")
    settings = cli("info", "--model", "base", "--length", "64", *flags, "--json").json()["settings"]
    prune = settings["prune"]
    assert (prune["schedule"]["keep"], prune["site"]["name"], settings["combine"]["layer"]) == (0.5, "hidden", 4)


def test_info_counts_the_second_stage_of_a_cascade(cli: Cli, work: Path) -> None:
    asked = ("info", "--model", "base", "--length", "64", "--preset", "fastest")
    once, twice = (cli(*asked, *own, "--json").json()["plan"] for own in ((), ("--set", "defer.share=0.25")))
    assert twice["flops"] == pytest.approx(once["flops"] + 0.25 * once["dense_flops"], rel=0.01)
    assert "25.0% of such documents are deferred to the next stage" in cli(*asked, "--set", "defer.share=0.25").out


def test_info_changes_a_classifiers_own_settings(cli: Cli, work: Path) -> None:
    """What is not given stays the classifier's: the random one here combines at 3 with 3 tokens."""
    settings = cli("info", "--model", "model", "--length", "64", "--keep", "0.5", "--json").json()["settings"]
    combine = settings["combine"]
    assert (settings["prune"]["schedule"]["keep"], combine["layer"], combine["tokens"]) == (0.5, 3, 3)


def test_info_measures_on_a_sample(cli: Cli, work: Path, save_classifier: Callable[..., Path]) -> None:
    save_classifier(work / "fuzzy", ratio_scope="candidates")
    asked = ("info", "--model", "fuzzy", "--length", "40", "--json")
    assert cli(*asked).json()["plan"]["basis"] == "bounds"
    plan = cli(*asked, "--sample", "good.jsonl").json()["plan"]
    assert plan["basis"] == "measured"
    results = tokensieve.load("fuzzy", device="cpu").results(row["text"] for row in labelled_rows(24))
    share = sum(result.kept[-1] / result.length for result in results) / 24
    assert plan["steps"][-1]["kept"] == pytest.approx(40 * share)


def test_info_on_the_default_model(cli: Cli, work: Path, default_model_dir: Path) -> None:
    found = {}
    for preset in ("dense", "paper-pfc-7", "paper-pfc-11"):
        record = cli("info", "--preset", preset, "--length", "512", "--json").json()
        assert (record["layers"], record["hidden_size"], record["longest_document"]) == (6, 384, 512)
        modules = [place for place, step in enumerate(record["plan"]["steps"], 1) if step["kind"] == "combine"]
        found[preset] = record["plan"]["ratio"], modules
    assert found["dense"] == (1, [])
    assert found["paper-pfc-7"][1] == [4]
    assert found["paper-pfc-11"][1] == [5]
    assert found["paper-pfc-7"][0] < found["paper-pfc-11"][0] < 1
