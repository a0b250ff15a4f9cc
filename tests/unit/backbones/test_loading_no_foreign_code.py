"""A model folder never runs code: no Python file of its own, no kernel from a hub, no pickle."""

from __future__ import annotations

import ast
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import tokensieve
from tokensieve.backbones.loading import load_config, load_tokenizer
from tokensieve.backbones.source import load_source_model
from tokensieve.errors import CheckpointError

PACKAGE = Path(tokensieve.__file__).parent
CODE = """
from pathlib import Path
Path(__file__).with_name("ran").touch()
from transformers import PreTrainedConfig, PreTrainedTokenizerFast
class XConfig(PreTrainedConfig):
    model_type = "x"
class XTokenizer(PreTrainedTokenizerFast):
    pass
"""
Change = Callable[..., Path]


@pytest.fixture
def changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Change:
    """A copy of a folder with code of its own and other entries in one of its files; any prompt would be agreed to."""
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n" * 9))

    def change(folder: Path, file: str, **entries: object) -> Path:
        copy = shutil.copytree(folder, tmp_path / "evil")
        (copy / "x.py").write_text(CODE, encoding="utf-8")
        record = json.loads((copy / file).read_text(encoding="utf-8"))
        (copy / file).write_text(json.dumps(record | entries), encoding="utf-8")
        return copy

    return change


def nothing_ran(tmp_path: Path) -> bool:
    return not list(tmp_path.rglob("ran"))


@pytest.fixture(scope="module")
def classifier(save_classifier: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_classifier(tmp_path_factory.mktemp("classifier") / "model")


def test_a_config_with_code_is_refused(changed: Change, classifier: Path, tmp_path: Path) -> None:
    folder = changed(classifier, "config.json", model_type="x", auto_map={"AutoConfig": "x.XConfig"})
    for door in (tokensieve.load, load_config, load_source_model, lambda path: tokensieve.compress(path, PTC)):
        with pytest.raises(CheckpointError, match=r"evil: model_type='x'.*Python code .*never run; give one of"):
            door(folder)
    assert nothing_ran(tmp_path)


PTC = tokensieve.ReductionConfig()


@pytest.mark.parametrize("name", ["XTokenizer", "PreTrainedTokenizerFast"])
def test_a_tokenizer_with_code(changed: Change, classifier: Path, tmp_path: Path, name: str) -> None:
    """It is refused where transformers has no such class; else transformers' own class reads the files."""
    auto_map = {"AutoTokenizer": ["x.XTokenizer", "x.XTokenizer"]}
    folder = changed(classifier, "tokenizer_config.json", auto_map=auto_map, tokenizer_class=name)
    if name == "XTokenizer":
        with pytest.raises(CheckpointError, match=r"evil: tokenizer_config\.json names Python code"):
            tokensieve.load(folder)
        with pytest.raises(CheckpointError, match="Python code"):
            load_tokenizer(folder, load_config(folder))
    else:
        assert tokensieve.load(folder, device="cpu").predict(["law"])
    assert nothing_ran(tmp_path)


def test_a_checkpoint_with_code_is_read_by_transformers_own(
    changed: Change, tiny_bert_dir: Path, tmp_path: Path
) -> None:
    auto_map = {"AutoConfig": "x.XConfig", "AutoModel": "x.XModel", "AutoModelForSequenceClassification": "x.XModel"}
    folder = changed(tiny_bert_dir, "config.json", auto_map=auto_map)
    assert tokensieve.compress(folder, PTC).config.family == "bert"
    assert nothing_ran(tmp_path)


@pytest.mark.parametrize("key", ["attn_implementation", "_attn_implementation", "_attn_implementation_internal"])
def test_a_kernel_is_not_fetched(
    changed: Change, classifier: Path, tiny_bert_dir: Path, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers.integrations import hub_kernels

    for name in ("load_and_register_attn_kernel", "get_kernel"):
        if hasattr(hub_kernels, name):
            monkeypatch.setattr(hub_kernels, name, lambda *_, **__: pytest.fail("a kernel was asked for"))
    for source in (classifier, tiny_bert_dir):
        folder = changed(source, "config.json", **{key: "somebody/kernel"})
        try:
            assert tokensieve.compress(folder, PTC)
        except CheckpointError as error:
            assert f"{key}='somebody/kernel'" in str(error)
        shutil.rmtree(folder)


def test_an_adapter_is_no_model(classifier: Path, tmp_path: Path) -> None:
    """transformers would load the base that it names, from anywhere."""
    folder = shutil.copytree(classifier, tmp_path / "adapter")
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "base_model_name_or_path": "x"}))
    with pytest.raises(CheckpointError, match=r"adapter: holds an adapter .*merge_and_unload"):
        tokensieve.load(folder)


@pytest.mark.parametrize("file", ["pytorch_model.bin", "../model.safetensors", "/etc/model.safetensors", 3])
def test_an_index_of_other_files_is_refused(classifier: Path, tmp_path: Path, file: object) -> None:
    folder = shutil.copytree(classifier, tmp_path / "parts")
    (folder / "model.safetensors").unlink()
    index = folder / "model.safetensors.index.json"
    for text in (json.dumps({"metadata": {}, "weight_map": {"head.classifier.weight": file}}), "[]", "{", "{}"):
        index.write_text(text)
        with pytest.raises(CheckpointError, match=r"model\.safetensors\.index\.json: (names|cannot be read).*save the"):
            tokensieve.load(folder)


@pytest.mark.parametrize("file", ["a.bin", "../model.safetensors"])
def test_an_index_that_the_config_names_is_held_to_the_same(
    changed: Change, classifier: Path, tmp_path: Path, file: str
) -> None:
    folder = changed(classifier, "config.json", transformers_weights="own.safetensors.index.json")
    (folder / "own.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": {"x": file}}))
    with pytest.raises(CheckpointError, match=r"own\.safetensors\.index\.json: names .*save the weights anew"):
        tokensieve.load(folder)


def test_the_config_names_no_weights_elsewhere(changed: Change, classifier: Path) -> None:
    folder = changed(classifier, "config.json", transformers_weights="../model.safetensors")
    with pytest.raises(CheckpointError, match=r"transformers_weights=.*in the same folder"):
        tokensieve.load(folder)


def test_every_door_forbids_it() -> None:
    """from_pretrained asks on standard input unless it is told otherwise."""
    calls = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "from_pretrained":
                calls[path.name, node.lineno] = ast.unparse(node)
    calls = {place: call for place, call in calls.items() if not call.startswith("super().")}  # of an override
    assert {name for name, _ in calls} == {"loading.py"}, "checkpoints are read in one place"
    assert all("trust_remote_code=False" in call or "**safe" in call for call in calls.values()), calls
