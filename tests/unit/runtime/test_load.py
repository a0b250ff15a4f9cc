"""load(): a folder written by us works; any other, and any broken one, ends in one error that names the folder."""

import gc
import json
import logging
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import tokensieve
from flat import reduction
from support.folders import read_config, write_config
from tokensieve import CheckpointError, ConfigError
from tokensieve.errors import DataError, OperatingSystemError
from tokensieve.runtime.classifier import Classifier
from tokensieve.runtime.fingerprint import hash_of_model
from tokensieve.runtime.load import load
from tokensieve.runtime.offload import OffloadedEmbeddings, offload_input_embeddings

TEXT = "the film was good"
Change = Callable[[Path], object]


def edit_config(change: Callable[[dict[str, Any]], object]) -> Change:
    def apply(folder: Path) -> None:
        record = read_config(folder)
        change(record)
        write_config(folder, record)

    return apply


def edit_settings(**changes: object) -> Change:
    return edit_config(lambda record: record["reduction"].update(changes))


def edit_sizes(**changes: object) -> Change:
    return edit_config(lambda record: record.update(changes))


def write(name: str, content: bytes) -> Change:
    return lambda folder: (folder / name).write_bytes(content)


def cut(name: str, keep: int) -> Change:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:keep])


def remove(*names: str) -> Change:
    return lambda folder: [(folder / name).unlink() for name in names]


def edit_weights(change: Callable[[dict[str, torch.Tensor]], object]) -> Change:
    def apply(folder: Path) -> None:
        state = load_file(folder / "model.safetensors")
        change(state)
        save_file(state, folder / "model.safetensors", metadata={"format": "pt"})

    return apply


def pickled(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
BROKEN: dict[str, tuple[Change, str]] = {
    "nothing in the folder": (lambda folder: [file.unlink() for file in folder.iterdir()], "config.json"),
    "config of no JSON": (write("config.json", b"{"), "config.json"),
    "config of nothing": (write("config.json", b""), "config.json"),
    "config of a list": (write("config.json", b"[]"), "config.json"),
    "config of bytes": (write("config.json", b"\xff\xfe\x00"), "config.json"),
    "no model_type": (edit_config(lambda record: record.pop("model_type")), "model_type"),
    "unknown model_type": (edit_sizes(model_type="zzz"), "zzz"),
    "unknown setting": (edit_settings(prun=None), "prun"),
    "another format version": (edit_settings(format_version=3), "format_version=3"),
    "a setting out of range": (edit_settings(min_length=-2), "min_length=-2"),
    "a layer that is not there": (edit_settings(combine={"layer": 9}), "combine.layer=9"),
    "settings that are no record": (edit_sizes(reduction="abc"), ""),
    "a number of heads that does not divide": (edit_sizes(num_attention_heads=5), "5"),
    "an unknown activation": (edit_sizes(hidden_act="nope"), "nope"),
    "no weights": (remove("model.safetensors"), "model.safetensors"),
    "weights of nothing": (write("model.safetensors", b""), "safetensors"),
    "weights of text": (write("model.safetensors", b"weights " * 100), "safetensors"),
    "a pointer in place of weights": (write("model.safetensors", POINTER), "safetensors"),
    "weights cut in the header": (cut("model.safetensors", 100), "safetensors"),
    "weights cut at the end": (cut("model.safetensors", 100_000), "safetensors"),
    "pickled weights": (pickled, "safetensors"),
    "a tensor missing": (edit_weights(lambda state: state.pop("head.classifier.weight")), "head.classifier.weight"),
    "a tensor of another shape": (
        edit_weights(lambda state: state.update({"head.classifier.weight": torch.zeros(7, 32)})),
        "head.classifier.weight",
    ),
    "a tensor that the model has no place for": (
        edit_weights(lambda state: state.update({"encoder.layer.9.output.dense.bias": torch.zeros(32)})),
        "encoder.layer.9.output.dense.bias",
    ),
    "more layers than weights": (edit_sizes(num_hidden_layers=5), "encoder.layer.4"),
    "fewer layers than weights": (edit_sizes(num_hidden_layers=3), "encoder.layer.3"),
    "another width": (edit_sizes(intermediate_size=128), "intermediate.dense"),
    "another combining layer": (edit_settings(combine=None), "model.safetensors"),
    "no tokenizer": (remove("tokenizer.json", "tokenizer_config.json"), "tokenizer"),
    "half a tokenizer": (cut("tokenizer.json", 500), "tokenizer"),
    "tokenizer.json missing": (remove("tokenizer.json"), "tokenizer"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_folder(
    name: str, classifier_dir: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    folder = shutil.copytree(classifier_dir, tmp_path / "broken")
    change, hint = BROKEN[name]
    change(folder)
    capfd.readouterr()
    with pytest.raises((CheckpointError, ConfigError)) as caught:
        tokensieve.load(folder, device="cpu")
    message = str(caught.value)
    assert str(folder) in message, "which folder?"
    assert hint in message
    assert "\n" not in message
    assert "report" not in message, "a report that our error points to is one error more"
    assert "LOAD REPORT" not in capfd.readouterr().err + caplog.text


def test_a_path_that_is_nothing(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="absent"):
        tokensieve.load(tmp_path / "absent")


def test_a_path_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(CheckpointError, match="is a file"):
        tokensieve.load(tmp_path / "file")


def test_a_model_of_another_kind(tiny_bert_dir: Path) -> None:
    with pytest.raises(CheckpointError, match=r"'bert'.*tokensieve train"):
        tokensieve.load(tiny_bert_dir)


def test_a_tokenizer_of_another_model(classifier_dir: Path, tmp_path: Path) -> None:
    """Ids beyond the table of embeddings would end in an index error, on CUDA in a dead process."""
    folder = shutil.copytree(classifier_dir, tmp_path / "model")
    record = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    record["model"]["vocab"] |= {f"word{number}": 28 + number for number in range(50)}
    (folder / "tokenizer.json").write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(tokensieve.TokensieveError, match=r"tokenizer.*28|28.*tokenizer"):
        tokensieve.load(folder, device="cpu").predict(["word40"])


@pytest.mark.parametrize("device", ["", "gpu", "cpu:x", "cuda:99", "meta", "hpu", "xla"])
def test_devices_that_cannot_be_used(classifier_dir: Path, device: str) -> None:
    with pytest.raises(ConfigError, match=f"device={device!r}") as caught:
        tokensieve.load(classifier_dir, device=device)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("dtype", ["", "float64", "int4", "fp16"])
def test_dtypes_that_cannot_be_used(classifier_dir: Path, dtype: str) -> None:
    with pytest.raises(ConfigError, match=f"dtype={dtype!r}.*bfloat16"):
        tokensieve.load(classifier_dir, dtype=dtype)


def test_a_loaded_model_is_ready(classifier: Classifier) -> None:
    assert not classifier.model.training
    assert classifier.labels == ("film", "law", "sport")
    assert classifier.model.device.type == "cpu"


def test_loading_says_nothing(classifier_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        tokensieve.load(classifier_dir, device="cpu")
    assert not caplog.records


def test_a_model_that_does_not_classify(save_classifier: Callable[..., Path], tmp_path: Path) -> None:
    """The softmax over one output is 1.0 for every text; regression has to be said no to, not answered so."""
    folder = save_classifier(tmp_path / "model")
    one_output = tokensieve.compress(str(folder), tokensieve.ReductionConfig(), num_labels=1, problem_type="regression")
    one_output.save_pretrained(folder)
    with pytest.raises(CheckpointError, match="regression"):
        tokensieve.load(folder, device="cpu")


def test_a_model_of_several_labels_a_text(save_classifier: Callable[..., Path], tmp_path: Path) -> None:
    folder = save_classifier(tmp_path / "model")
    edit_sizes(problem_type="multi_label_classification")(folder)
    classifier = tokensieve.load(folder, device="cpu")
    inputs = classifier.engine.tokenizer([TEXT], return_tensors="pt")
    with torch.no_grad():
        expected = classifier.model(**inputs).logits.sigmoid()
    np.testing.assert_allclose(classifier.predict_proba([TEXT]), expected, atol=1e-5)


def test_lengths_of_training_are_kept(classifier_dir: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(classifier_dir, tmp_path / "model")
    edit_sizes(tokenize_length=10)(folder)
    (result,) = tokensieve.load(folder, device="cpu").results(["film " * 50])
    assert result.length == 10
    (result,) = tokensieve.load(folder, device="cpu", max_length=20).results(["film " * 50])
    assert result.length == 20


def test_a_saved_copy_predicts_the_same(classifier: Classifier, some_texts: list[str], tmp_path: Path) -> None:
    classifier.model.save_pretrained(tmp_path)
    classifier.engine.tokenizer.save_pretrained(tmp_path)
    copy = tokensieve.load(tmp_path, device="cpu")
    np.testing.assert_array_equal(copy.predict_proba(some_texts), classifier.predict_proba(some_texts))


OFFLOADED_MODELS = {
    "pruned and combined": {"combine_layer": 3},
    "a cascade": {"pruning": "ratio", "site": "hidden", "pooling": "mean", "reread": 0.5},
}


@pytest.mark.parametrize("settings", OFFLOADED_MODELS.values(), ids=OFFLOADED_MODELS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_offloaded_embeddings(
    save_classifier: Callable[..., Path], some_texts: list[str], tmp_path: Path, settings: dict[str, Any], dtype: str
) -> None:
    """The same answers to the last digit, and nothing of the table in memory."""
    folder = save_classifier(tmp_path / "classifier", **settings)
    if "reread" in settings:
        edit_config(lambda record: record.update(defer_below=0.4))(folder)
    whole = tokensieve.load(folder, device="cpu", dtype=dtype)
    lean = tokensieve.load(folder, device="cpu", dtype=dtype, offload_embeddings=True)
    np.testing.assert_array_equal(lean.predict_proba(some_texts), whole.predict_proba(some_texts))
    np.testing.assert_array_equal(lean.encode(some_texts), whole.encode(some_texts))
    assert lean.dtype == dtype
    table = whole.model.get_input_embeddings().weight.numel()
    assert lean.model.num_parameters() == whole.model.num_parameters() - table
    assert hash_of_model(lean) == hash_of_model(whole)
    if sys.platform == "linux" and dtype == "float32":
        del whole
        gc.collect()
        assert str(folder) not in Path("/proc/self/maps").read_text(encoding="utf-8"), "pages of the file count as ours"


def test_the_old_name_of_offloaded_embeddings(classifier_dir: Path) -> None:
    with pytest.warns(DeprecationWarning, match="words_on_disk") as caught:
        lean = tokensieve.load(classifier_dir, device="cpu", words_on_disk=True)
    assert caught[0].filename == __file__
    assert isinstance(lean.model.get_input_embeddings(), OffloadedEmbeddings)


def test_offloaded_embeddings_are_saved_with_the_rest(
    classifier_dir: Path, classifier: Classifier, some_texts: list[str], tmp_path: Path
) -> None:
    lean = tokensieve.load(classifier_dir, device="cpu", offload_embeddings=True)
    lean.model.save_pretrained(tmp_path)
    lean.engine.tokenizer.save_pretrained(tmp_path)
    copy = tokensieve.load(tmp_path, device="cpu")
    np.testing.assert_array_equal(copy.predict_proba(some_texts), classifier.predict_proba(some_texts))


def test_offloaded_embeddings_of_a_file_of_another_name(
    classifier_dir: Path, classifier: Classifier, some_texts: list[str], tmp_path: Path
) -> None:
    folder = shutil.copytree(classifier_dir, tmp_path / "classifier")
    (folder / "model.safetensors").rename(folder / "mine.safetensors")
    edit_config(lambda record: record.update(transformers_weights="mine.safetensors"))(folder)
    np.testing.assert_array_equal(
        tokensieve.load(folder, device="cpu").predict_proba(some_texts), classifier.predict_proba(some_texts)
    )
    lean = tokensieve.load(folder, device="cpu", offload_embeddings=True)
    np.testing.assert_array_equal(lean.predict_proba(some_texts), classifier.predict_proba(some_texts))


def test_embeddings_of_another_model(classifier: Classifier, tmp_path: Path) -> None:
    name = "embeddings.word_embeddings.weight"
    for content, told in ({name: torch.ones(4, 4)}, r"has the shape \(4, 4\)"), ({}, f"holds no {name}"):
        save_file(content, tmp_path / "model.safetensors")
        (tmp_path / "config.json").write_text("{}", encoding="utf-8")
        with pytest.raises(CheckpointError, match=told):
            offload_input_embeddings(classifier.model, tmp_path)
    with pytest.raises(CheckpointError, match="cannot be found in the files of the weights"):
        offload_input_embeddings(classifier.model, tmp_path / "none")


def test_offloaded_embeddings_under_other_settings(
    classifier_dir: Path, classifier: Classifier, some_texts: list[str]
) -> None:
    """`compress` makes a model with embeddings in memory of one that has them on disk."""
    lean = tokensieve.load(classifier_dir, device="cpu", offload_embeddings=True).model
    copy = tokensieve.compress(lean, lean.settings)
    assert copy.num_parameters() == classifier.model.num_parameters()
    ids = torch.tensor([[2, 9, 12, 3]])
    assert torch.equal(copy(input_ids=ids).logits, classifier.model(input_ids=ids).logits)


def test_offloaded_embeddings_of_weights_in_several_files(
    classifier_dir: Path, classifier: Classifier, some_texts: list[str], tmp_path: Path
) -> None:
    classifier.model.save_pretrained(tmp_path, max_shard_size="10KB")
    classifier.engine.tokenizer.save_pretrained(tmp_path)
    assert not (tmp_path / "model.safetensors").exists()
    lean = tokensieve.load(tmp_path, device="cpu", offload_embeddings=True)
    np.testing.assert_array_equal(lean.predict_proba(some_texts), classifier.predict_proba(some_texts))


def test_limits_stored_in_the_default_models_tokenizer_do_not_leak_in(default_model_dir: Path, tmp_path: Path) -> None:
    stored = json.loads((default_model_dir / "tokenizer.json").read_text(encoding="utf-8"))
    assert stored["truncation"]["max_length"] == 128, "the trap that this test is about"
    assert stored["padding"]["strategy"] == {"Fixed": 128}
    shutil.copy(default_model_dir / "tokenizer.json", tmp_path)
    shutil.copy(default_model_dir / "tokenizer_config.json", tmp_path)
    settings = reduction(keep_ratio=0.5, site="hidden")
    tokensieve.compress(str(default_model_dir), settings).save_pretrained(tmp_path)
    classifier = tokensieve.load(tmp_path, device="cpu")
    results = classifier.results(["film " * 600, "film " * 300, "film"], tokens=True)
    assert [result.length for result in results] == [512, 302, 3]
    assert [result.kept[0] for result in results] == [256, 151, 2]
    assert "[PAD]" not in {token for result in results for token in result.tokens or ()}
    assert classifier.engine.truncated == 1


def test_a_tables_texts_are_classified_not_its_columns(save_classifier: Callable[..., Path], tmp_path: Path) -> None:
    import pandas as pd

    classifier, texts = load(save_classifier(tmp_path / "model"), device="cpu"), ["the film", "law and judge", "a goal"]
    expected = classifier.predict(texts)
    frame = pd.DataFrame({"label": ["x"] * 3, "text": texts})
    assert classifier.predict(frame) == classifier.predict({"text": texts}) == expected
    assert classifier.predict_proba(frame).shape == classifier.predict_proba(frame[["text"]]).shape == (3, 3)
    assert len(classifier.encode(frame["text"])) == len(classifier.results(frame)) == 3
    for unclear in (frame.rename(columns={"text": "body"}).assign(more=texts), {"label": texts, "body": texts}):
        with pytest.raises(DataError, match="not clear which hold the texts"):
            classifier.predict(unclear)


def test_a_file_that_may_not_be_read(classifier_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """safetensors says "No such file", and transformers' words were followed by remedies for broken files."""

    def refuse(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    for name, file in (("open", "model.safetensors"), ("read_object", "config.json")):
        with monkeypatch.context() as patch:
            patch.setattr(f"tokensieve.backbones.loading.{name}", refuse, raising=False)
            with pytest.raises(OperatingSystemError, match=rf"{file}: Permission denied; ask for the right"):
                load(classifier_dir)


def test_a_link_to_nothing_and_an_empty_name(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("moved")
    with pytest.raises(CheckpointError, match=r"link: a link to moved, which is not there; correct the link"):
        load(tmp_path / "link")
    with pytest.raises(CheckpointError, match="the name of the model is empty: give a folder, or a hub name"):
        load("")
    with pytest.raises(OperatingSystemError, match="File name too long; give a shorter name"):
        load("x" * 300)


@pytest.mark.parametrize("path", [None, 3, b"model", ["model"]], ids=repr)
def test_what_is_no_path(path: Any) -> None:
    with pytest.raises(CheckpointError, match="is no checkpoint: give a folder"):
        load(path)
    with pytest.raises(CheckpointError, match="is no checkpoint: give a folder"):
        tokensieve.compress(path, tokensieve.ReductionConfig())


def test_another_share_of_the_tokens(save_classifier: Callable[..., Path], tmp_path: Path) -> None:
    """Counts are exact, the weights are the same, and saved is what was chosen."""
    folder = save_classifier(tmp_path / "model", pruning="ratio", site="hidden", pooling="mean", keep_ratio=0.8)
    counts = {}
    for keep in (None, 0.5, 1.0):
        classifier = load(folder, device="cpu", keep=keep)
        (told,) = classifier.results(["the film was good and the price of it was not"])
        counts[keep] = (told.length, *told.kept)
    assert counts == {None: (13, 10, 8, 6, 4), 0.5: (13, 6, 3, 2, 2), 1.0: (13,) * 5}
    classifier.model.save_pretrained(tmp_path / "again")
    assert load(folder, device="cpu", keep=0.5).model.settings.shares(4) == (0.5,) * 4
    assert read_config(tmp_path / "again")["reduction"]["prune"]["schedule"]["shares"] == [1.0] * 4


def test_a_share_that_cannot_be_kept(save_classifier: Callable[..., Path], tmp_path: Path) -> None:
    dense = save_classifier(tmp_path / "dense", pruning="none", pooling="host")
    with pytest.raises(ConfigError, match=r"keep=0\.5: the model prunes in no layer"):
        load(dense, device="cpu", keep=0.5)
    cascade = save_classifier(tmp_path / "cascade", pruning="ratio", site="hidden", pooling="mean", reread=0.5)
    with pytest.raises(ConfigError, match=r"keep=0\.5: .*cascade is a cascade, which defers by the confidence"):
        load(cascade, device="cpu", keep=0.5)
    with pytest.raises(ConfigError, match=r"keep=0\.5 with speed='8x': its points were measured"):
        load(dense, device="cpu", keep=0.5, speed="8x")
