"""The model card: what it says is what the record and the model say, and no name in them breaks it."""

import copy
import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard

from contract.variants import settings, tiny_model
from tokensieve import TokensieveForSequenceClassification
from tokensieve.data import DataSplits, Document
from tokensieve.methods import METHODS
from tokensieve.training.files.card import source_of, write_card
from tokensieve.training.files.reproduce import READING
from tokensieve.training.recipe import Recipe
from unit.training.keyword_documents import Train, labelled_documents
from unit.training.run_record import RECORD

STRANGE = ["a\nb", "x|y", "`code`", "--- : [yaml]", "<b>&</b>", "\\", "# no *heading*", "\"'", "\u2028\x1b[1m"]
MULTI_LABEL = {
    "multi_label": True,
    "best": RECORD["best"] | {"eval_f1_micro": 0.6875},
    "calibration": RECORD["calibration"] | {"thresholds": [0.5, 0.25]},
}
NO_VALIDATION = {"best": None, "calibration": None, "documents": {"train": 400, "validation": 0}}


def model_for(record: dict[str, Any], labels: list[str], **changes: Any) -> TokensieveForSequenceClassification:
    model = tiny_model(settings(**changes), num_labels=len(labels), id2label=dict(enumerate(labels)))
    if record["multi_label"]:
        model.config.problem_type = "multi_label_classification"
        model.config.thresholds = (record["calibration"] or {}).get("thresholds")
    return model


Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """`write(record entries, labels, **settings)` gives the text of the card."""

    def written(entries: dict[str, Any] | None = None, labels: list[str] | None = None, **changes: Any) -> str:
        record = copy.deepcopy(RECORD) | (entries or {})
        model = model_for(record, labels or ["business", "sport"], **changes)
        record |= {"settings": model.settings.to_dict(), "labels": list(model.config.label_names)}
        folder = tmp_path / "news-classifier.part"
        folder.mkdir(exist_ok=True)
        write_card(folder, model, record)
        return (folder / "README.md").read_bytes().decode()

    return written


def front_matter(text: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(text.split("---\n")[1])
    return found


def section(text: str, title: str) -> str:
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found is not None, text
    return found[1]


def flat(text: str) -> str:
    return " ".join(text.split())


def test_front_matter(write: Write) -> None:
    data = front_matter(write())
    assert data["library_name"] == "tokensieve"
    assert data["pipeline_tag"] == "text-classification"
    assert data["base_model"] == "some/base"
    assert "license" not in data, "nobody has told one"
    assert "datasets" not in data, "a file is no data set of the hub"
    (index,) = data["model-index"]
    (result,) = index["results"]
    assert index["name"] == "news-classifier"
    assert result["dataset"] == {"name": "news", "type": "news", "split": "validation"}
    assert {metric["type"]: metric["value"] for metric in result["metrics"]} == {"accuracy": 0.8125, "f1": 0.75}
    assert len(result["metrics"]) == 2, "micro F1 of single labels is the accuracy"


def test_a_folder_is_no_base_model(write: Write) -> None:
    assert "base_model" not in front_matter(write({"base": "tiny-bert"}))
    assert (
        front_matter(write({"base": "bert-base-uncased", "base_is_folder": False}))["base_model"] == "bert-base-uncased"
    )
    assert "base_model" not in front_matter(write({"base": "tiny-bert", "base_is_folder": True}))


def test_a_data_set_of_the_hub_is_linked(write: Write) -> None:
    assert front_matter(write({"data": "some/news:english"}))["datasets"] == ["some/news"]


def test_the_title_and_tags_say_what_is_reduced(write: Write) -> None:
    both, dense = write(combine_layer=3), write(pruning="none")
    assert {"token-pruning", "token-combining"} <= set(front_matter(both)["tags"])
    assert not {"token-pruning", "token-combining"} & set(front_matter(dense)["tags"])
    assert "are pruned while it runs, and what remains is folded into" in flat(both)
    assert "It is dense" in dense
    assert "Nothing is reduced" in section(dense, "Token reduction")
    assert "`keep_ratio`" not in dense
    assert "folded" not in write()
    assert "Pruned tokens leave the model" in write(site="hidden")
    assert "combining module" not in write(site="hidden")


def test_the_card_names_the_source_of_its_own_method(write: Write) -> None:
    """PTC is one method of many: a card cites it for its own cells alone."""
    assert "pruned while it runs (PTC, Findings of EMNLP 2023)." in flat(write(pruning="ratio"))
    other = flat(write(pruning="ratio", site="hidden", merge_pruned=True))
    assert "token merging (Bolya et al., ICLR 2023)" in other
    assert "EMNLP" not in other
    unknown = flat(write(pruning="fuzzy", site="hidden", merge_pruned=True))  # of no paper
    assert "Tokens that matter little are pruned while it runs." in unknown


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_its_own_source(name: str) -> None:
    """Also where another method has cells of the same kinds, and once its gates have learned."""
    row = METHODS[name]
    prune = row.settings.prune
    learned = dataclasses.replace(row.settings, prune=prune and dataclasses.replace(prune, select=prune.select.learned))
    cells = ("accurate", "balanced", "fast", "fastest", "cascade")  # the same cells, of one source
    for settings_ in (row.settings, learned):
        found = source_of(settings_, row.recipe)
        assert found == row.source or (name in cells and found in {METHODS[own].source for own in cells})


def test_cells_that_were_trained_otherwise_are_another_method() -> None:
    assert source_of(METHODS["length-adaptive"].settings, {"length_drop": 0.0}) is None


def test_data_and_scores(write: Write) -> None:
    text = write()
    data, accuracy, calibration = (section(text, title) for title in ("Data", "Accuracy", "Calibration"))
    for wanted in ("`news`", "400 for training, 100 for validation", "7 of the training", "mean length 24.4"):
        assert wanted in data
    assert "Rows left out of `train`: 10 of 510: 9 x empty text, 1 x missing label" in data
    assert "d1ce" * 16 in data
    for wanted in ("Epoch 2, on 100 validation documents", "| accuracy | 0.8125 |", "| loss | 0.6100 |", "lowest loss"):
        assert wanted in accuracy
    for wanted in ("1.2500", "0.0625 before", "0.0312 after", "100 validation documents"):
        assert wanted in calibration
    assert "threshold" not in text
    assert "at probability 0.5" not in text


def test_multi_label(write: Write) -> None:
    text = write(MULTI_LABEL)
    assert "any of 2 labels, or none" in text
    assert "| 1 | `sport` | 0.2500 |" in section(text, "Labels")
    assert "exact match" in section(text, "Accuracy")
    assert "at probability 0.5" in section(text, "Accuracy")
    assert "| micro F1 | 0.6875 |" in section(text, "Accuracy")
    assert "highest F1" in section(text, "Calibration")
    assert "--multi-label" in section(text, "Repeat it")
    averages = [m.get("args") for m in front_matter(text)["model-index"][0]["results"][0]["metrics"]]
    assert averages == [None, {"average": "macro"}, {"average": "micro"}]


def test_without_validation(write: Write) -> None:
    text = write(NO_VALIDATION)
    assert "model-index" not in front_matter(text)
    assert "metrics" not in front_matter(text)
    assert "no validation documents" in section(text, "Accuracy")
    assert "None" in section(text, "Calibration")
    uncalibrated = write({"calibration": None})
    assert "calibration fitted" not in flat(section(uncalibrated, "Accuracy"))
    assert "calibration fitted" in flat(section(write(), "Accuracy"))


def test_what_was_fitted_is_told(write: Write) -> None:
    recipe = {**RECORD["recipe"], "epochs": 0}
    plain, refitted = (write({"recipe": recipe, "head_refit": own}) for own in (None, {"moved": 0.3, "left": 0.1}))
    assert (
        "the weights are those of the classifier it started from. Made in" in flat(plain)
        and "head's last layer" not in plain
    )
    assert "those of the classifier it started from, except the head's last layer. Made in" in flat(refitted)
    assert "The head's last layer was refitted first, by ridge regression without labels" in flat(refitted)


def test_what_was_not_used_is_not_told(write: Write) -> None:
    assert "`distill_" not in write()
    assert "`lora_" not in write()
    assert "`distill_weight`" in write({"recipe": Recipe(teacher="dense").to_dict()})
    assert "`lora_dropout`" in write({"recipe": Recipe(lora_rank=2).to_dict()})


def test_text_pairs(write: Write) -> None:
    for entry in ({"pairs": True}, {"reading": READING | {"pair_column": "reply"}}):
        text = write(entry)
        assert '[("A text.", "The text beside it.")]' in text
        assert "text_pair" in text
    assert "text_pair" not in write()


def test_the_plan_is_the_models(write: Write) -> None:
    model = model_for(RECORD, ["business", "sport"], site="hidden", keep_ratio=0.5)
    rows = re.findall(
        r"^\| (?:mean|longest).*$", section(write(site="hidden", keep_ratio=0.5), "Cost against dense"), re.M
    )
    assert len(rows) == 2
    for row, length in zip(rows, (24, model.config.longest_document), strict=True):
        plan, cells = model.plan(length), [cell.strip() for cell in row.strip("|").split("|")]
        assert cells[1] == str(length)
        assert cells[2] == " ".join(f"{kept:g}" for kept in plan.kept_tokens)
        assert float(cells[3]) == pytest.approx(plan.flops / 1e9, rel=1e-3)
        assert float(cells[4]) == pytest.approx(plan.dense_flops / 1e9, rel=1e-3)
        assert float(cells[5]) == pytest.approx(plan.ratio, abs=1e-3)
    bounds = section(write(ratio_scope="candidates"), "Cost against dense")
    assert "at most" in bounds
    assert "upper bounds" in bounds


def test_strange_names_break_nothing(write: Write) -> None:
    record = {"data": "x\n---\n| `y`\n\n\n\n## Limits", "base": "```\nno", "rows": {}}
    text = write(record, STRANGE)
    plain = write({"data": "news", "base": "base", "rows": {}}, [f"label {i}" for i in range(len(STRANGE))])
    headings = [line for line in plain.splitlines() if line.startswith("#")]
    assert [line for line in text.splitlines() if line.startswith("#")] == headings
    rows = re.findall(r"^\|.*\|$", section(text, "Labels"), re.MULTILINE)
    assert len(rows) == len(STRANGE) + 2
    assert {row.count("|") for row in rows} == {3}
    assert text.count("\n---\n") == 1, "the end of the front matter"
    assert ModelCard(text).data.to_dict() == front_matter(text)
    assert not re.findall(r"[\x00-\x09\x0b-\x1f\u2028]", text)
    assert "`<b>&</b>`" in text
    assert "&#96;code&#96;" in text


def test_many_labels_are_cut(write: Write) -> None:
    labels = section(write(labels=[f"class {i}" for i in range(230)]), "Labels")
    assert "class 199`" in labels
    assert "class 200`" not in labels
    assert "The other 30 labels" in labels


def test_paths_of_the_machine_are_nobodys_business(write: Write) -> None:
    for path in ("/home/someone/news", r"C:\someone\news", "~/someone/news"):
        text = write({"data": path, "base": path})
        assert "someone" not in text
        assert "--data news" in text


def test_documents_in_memory_have_no_command(write: Write) -> None:
    for name in ("", "TokensieveClassifier.fit", "PTCClassifier.fit"):
        text = write({"data": name})
        assert "Python API" in section(text, "Repeat it")
        assert "```" not in section(text, "Repeat it")
        assert "documents in memory" in section(text, "Data")


def test_what_the_record_does_not_tell_is_said(write: Write) -> None:
    missing = "columns and rows to read are not on record"
    assert missing in section(write(), "Repeat it")
    assert missing not in section(write({"reading": READING}), "Repeat it")
    assert missing not in section(write({"data": "Python standard library"}), "Repeat it")


def code_that_runs(text: str) -> None:
    """Run the Python of a card, in the folder that holds the classifier's."""
    blocks = re.findall(r"^```python\n(.*?)\n```$", section(text, "Use"), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        *lines, last = block.splitlines()
        space: dict[str, Any] = {}
        exec("\n".join(lines), space)
        assert len(eval(last, space)) == (1 if "predict_proba" in last else 3)


def test_a_run_leaves_a_card(run: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = run()
    text = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert text.splitlines().count("# `out`") == 1
    assert str(tmp_path) not in text
    best = front_matter(text)["model-index"][0]["results"][0]["metrics"][0]
    assert best["value"] == round(record["best"]["eval_accuracy"], 4)
    assert f"temperature {record['calibration']['temperature']:.4f}" in text
    monkeypatch.chdir(tmp_path)
    code_that_runs(text)


def test_a_run_on_lists_of_labels_leaves_a_card(run: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train, validation = (
        tuple(dataclasses.replace(document, label=(str(document.label),)) for document in labelled_documents(count))
        for count in (24, 12)
    )
    record = run(DataSplits((*train, Document("good", ("film", "law"), "made up", 25)), validation))
    text = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    for number, threshold in enumerate(record["calibration"]["thresholds"]):
        assert f"| {number} | `{record['labels'][number]}` | {threshold:.4f} |" in section(text, "Labels")
    monkeypatch.chdir(tmp_path)
    code_that_runs(text)
