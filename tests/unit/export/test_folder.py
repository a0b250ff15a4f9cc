"""export(): what is written, what is refused, and that nothing is left behind."""

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import tokensieve
from contract.variants import settings, tiny_model
from support.packages import needed
from tokensieve import CheckpointError, ConfigError
from tokensieve.export import export, folder
from tokensieve.model.int8 import WORDS as INT8_WORDS
from tokensieve.model.int8 import in_int8
from tokensieve.model.pretrained import WORDS_FIRST

Save = Callable[..., Path]
DENSE = {"pruning": "none", "pooling": "host"}
CASCADE = {"pruning": "ratio", "site": "hidden", "reread": 0.4}


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def changed(path: Path, **fields: object) -> Path:
    """The folder, with other fields in its config."""
    model = AutoModelForSequenceClassification.from_pretrained(path)
    model.config.update(fields)
    model.config.save_pretrained(path)
    return path


@torch.no_grad()
def test_a_checkpoint_of_transformers(save_classifier: Save, tmp_path: Path) -> None:
    model = changed(save_classifier(tmp_path / "model", **DENSE), tokenize_length=9)
    exported = export(model, "out", "transformers")
    assert exported.folder == tmp_path / "out"
    assert exported.difference < 1e-5
    assert exported.not_exported == {}
    theirs, tokenizer = AutoModelForSequenceClassification.from_pretrained("out"), AutoTokenizer.from_pretrained("out")
    texts = ["the good film was a film", "the court", "a law " * 20]
    classifier = tokensieve.load(model)
    logits = theirs.eval()(**tokenizer(texts, padding=True, truncation=True, return_tensors="pt")).logits
    probabilities = torch.tensor(classifier.predict_proba(texts))
    torch.testing.assert_close(logits.softmax(1), probabilities, atol=1e-5, rtol=0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "out"]
    before = model.stat().st_mode
    assert Path("out").stat().st_mode == before, "others may read it as they may read the model"


@pytest.mark.parametrize(
    ("fields", "hints"),
    [
        ({"calibration_temperature": 1.5}, ("calibration_temperature=1.5", "divide")),
        (
            {"thresholds": [0.2, 0.5, 0.7], "problem_type": "multi_label_classification"},
            ("thresholds=[0.2, 0.5, 0.7]", "0.5"),
        ),
    ],
)
def test_calibration_is_told_and_left_out(
    fields: dict[str, object],
    hints: tuple[str, ...],
    save_classifier: Save,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    model = changed(save_classifier(tmp_path / "model", **DENSE), **fields)
    caplog.set_level(logging.WARNING, "tokensieve")
    exported = export(model, "out", "transformers")
    assert exported.not_exported == {name: fields[name] for name in fields if name != "problem_type"}
    assert exported.difference < 1e-5, "logits are not divided"
    assert [hint for hint in hints if hint not in caplog.text] == []


@pytest.mark.parametrize(
    ("changes", "stage", "hints"),
    [
        (CASCADE, None, ("cascade (defer.share=0.4)", "--stage 1", "--stage 2", "defer=none")),
        (CASCADE, 3, ("stage=3", "1 and 2")),
        (CASCADE, 1, ("prune.schedule=", "--preset dense")),
        (DENSE, 1, ("stage=1", "no cascade")),
        (DENSE | {"pooling": "mean"}, None, ("pooling=mean", "--set pooling=pretrained")),
    ],
    ids=str,
)
def test_refusals_name_the_setting(
    changes: dict[str, object], stage: int | None, hints: tuple[str, ...], save_classifier: Save, tmp_path: Path
) -> None:
    model = save_classifier(tmp_path / "model", **changes)
    with pytest.raises(ConfigError) as caught:
        export(model, "out", "transformers", stage=stage)
    assert [hint for hint in hints if hint not in str(caught.value)] == []
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@torch.no_grad()
def test_the_second_stage_of_a_cascade(save_classifier: Save, tmp_path: Path) -> None:
    model = save_classifier(tmp_path / "model", **CASCADE | {"pooling": "host"})
    assert export(model, "out", "transformers", stage=2).difference < 1e-5
    theirs = AutoModelForSequenceClassification.from_pretrained("out").eval()
    second = AutoModelForSequenceClassification.from_pretrained(model).second.eval()
    inputs = {"input_ids": torch.tensor([[2, 7, 8, 9, 3]]), "attention_mask": torch.ones(1, 5, dtype=torch.long)}
    torch.testing.assert_close(theirs(**inputs).logits, second(**inputs).logits, atol=1e-5, rtol=0)


def test_bags_of_words_are_refused(save_classifier: Save, tmp_path: Path) -> None:
    model = save_classifier(tmp_path / "model", **DENSE)
    (model / WORDS_FIRST).write_text("{}")
    with pytest.raises(ConfigError, match=f"{WORDS_FIRST}.*without one"):
        export(model, "out", "transformers")
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "words.json").write_text("{}")
    with pytest.raises(ConfigError, match="is a bag of words"):
        export("words", "out", "onnx")


def test_nothing_is_overwritten(save_classifier: Save, tmp_path: Path) -> None:
    model = save_classifier(tmp_path / "model", **DENSE)
    Path("full").mkdir()
    Path("full/notes.txt").write_text("mine")
    Path("file").write_text("mine")
    for output, hint in (
        ("full", "not empty"),
        ("file", "is a file"),
        ("absent/out", "does not exist"),
        (model, "not"),
    ):
        with pytest.raises(ConfigError, match=hint):
            export(model, output, "transformers")
    assert Path("full/notes.txt").read_text() == Path("file").read_text() == "mine"
    Path("empty").mkdir()
    export(model, "empty", "transformers")
    assert Path("empty/model.safetensors").is_file()


def test_unknown_formats_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="format='gguf': choose one of 'transformers', 'onnx'"):
        export("model", "out", "gguf")


def test_an_export_that_answers_otherwise_is_not_kept(
    save_classifier: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = save_classifier(tmp_path / "model", **DENSE)
    build = folder.to_transformers

    def wrong(*args: object) -> object:
        theirs = build(*args)
        theirs.classifier.bias.data += 0.01
        return theirs

    monkeypatch.setattr(folder, "to_transformers", wrong)
    with pytest.raises(CheckpointError, match=r"differ from the model's by .*not kept"):
        export(model, "out", "transformers")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_rounding_may_move_one_document_of_a_pruned_model_and_no_more() -> None:
    model, moved = tiny_model(settings(pruning="ratio", site="hidden", pooling="mean")), {17}

    def written(inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        lengths, logits = inputs["attention_mask"].sum(1).tolist(), model(**inputs).logits
        return logits + 0.1 * torch.tensor([[length in moved] for length in lengths])

    assert folder._compared(model, written, exact=False, segments=True) > 0.01
    with pytest.raises(CheckpointError, match=r"differ from the model's by .*not kept"):
        folder._compared(model, written, exact=True, segments=True)
    moved.add(40)
    with pytest.raises(CheckpointError, match=r"differ from the model's by .*not kept"):
        folder._compared(model, written, exact=False, segments=True)


@pytest.mark.slow
@torch.no_grad()
def test_a_folder_of_onnx(save_classifier: Save, tmp_path: Path) -> None:
    onnxruntime = needed("onnxruntime")
    model = save_classifier(tmp_path / "model", **CASCADE | {"pooling": "mean"})
    assert export(model, "out", "onnx", stage=1).difference < 1e-4
    names = {"model.onnx", "config.json", "tokenizer.json", "tokenizer_config.json"}
    assert names <= {path.name for path in Path("out").iterdir()}
    shutil.rmtree(model)
    tokenizer = AutoTokenizer.from_pretrained("out")
    session = onnxruntime.InferenceSession("out/model.onnx", providers=["CPUExecutionProvider"])
    inputs = tokenizer(["the good film", "a law " * 9], padding=True, return_tensors="np")
    assert session.run(["logits"], dict(inputs))[0].shape == (2, 3)


def test_int8_weights_are_refused(save_classifier: Save, tmp_path: Path) -> None:
    plain = save_classifier(tmp_path / "plain", **DENSE)
    small = save_classifier(tmp_path / "small", **DENSE)
    in_int8(tokensieve.load(plain, device="cpu").model, [INT8_WORDS], {}).save_pretrained(small)
    with pytest.raises(ConfigError, match="int8: export the float32 classifier"):
        export(small, "out", "transformers")
    assert not (tmp_path / "out").exists()
