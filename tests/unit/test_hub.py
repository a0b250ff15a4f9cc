"""push_to_hub, against a hub that is a folder: what is uploaded can be loaded, and nothing else is uploaded."""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from huggingface_hub import HfApi, RepoUrl
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import filter_repo_objects

import tokensieve
from tokensieve.errors import CheckpointError, ConfigError, HubError
from tokensieve.hub import push_to_hub

TEXTS = ["a good film", "the court", "goal goal goal"]
PUBLISHED = {
    "README.md",
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "training.json",
}


class Hub:
    """Takes the place of the hub's client: every repository is a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.public: dict[str, bool] = {}
        self.branches: list[str] = []
        self.tokens: list[Any] = []
        self.uploads: list[dict[str, Any]] = []

    def create_repo(self, repo_id: str, *, private: bool | None = None, exist_ok: bool = False, **_: Any) -> RepoUrl:
        name = repo_id if "/" in repo_id else f"me/{repo_id}"
        assert exist_ok or name not in self.public
        self.public.setdefault(name, not private)
        (self.root / name).mkdir(parents=True, exist_ok=True)
        return RepoUrl(f"https://huggingface.co/{name}")

    def upload_folder(self, *, repo_id: str, folder_path: Path, allow_patterns: list[str], **options: Any) -> None:
        paths = [path.relative_to(folder_path).as_posix() for path in folder_path.rglob("*") if path.is_file()]
        for path in filter_repo_objects(paths, allow_patterns=allow_patterns):
            (self.root / repo_id / path).parent.mkdir(exist_ok=True)
            shutil.copy(folder_path / path, self.root / repo_id / path)
        self.uploads.append(options)

    def create_commit(self, repo_id: str, operations: list[Any], **_: Any) -> str:
        for operation in operations:
            shutil.copy(operation.path_or_fileobj, self.root / repo_id / operation.path_in_repo)
        return f"https://huggingface.co/{repo_id}/commit/0"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    fake = Hub(tmp_path / "hub")
    for name in ("create_repo", "upload_folder", "create_commit"):
        monkeypatch.setattr(HfApi, name, staticmethod(getattr(fake, name)))
        # transformers 5.0 holds the methods of a client that it made before; later versions ask the class.
        monkeypatch.setattr(f"transformers.utils.hub.{name}", getattr(fake, name), raising=False)

    def model_info(api: HfApi, repo_id: str) -> SimpleNamespace:
        fake.tokens.append(api.token)
        return SimpleNamespace(private=not fake.public[repo_id])

    monkeypatch.setattr(HfApi, "model_info", model_info)
    monkeypatch.setattr(HfApi, "create_branch", lambda _, repo_id, *, branch, exist_ok: fake.branches.append(branch))
    return fake


@pytest.fixture
def folder(save_classifier: Callable[..., Path], tmp_path: Path) -> Path:
    """A classifier, and beside its files what has no place in a repository."""
    made = save_classifier(tmp_path / "made", combine_layer=3)
    (made / "checkpoints" / "checkpoint-1").mkdir(parents=True)
    others = [
        "pytorch_model.bin",
        "estimator.json",
        "optimizer.pt",
        "config.json.part",
        "documents.csv",
        "notes.json",
        ".env",
    ]
    for name in ("README.md", "training.json", *others, "checkpoints/checkpoint-1/model.safetensors"):
        (made / name).write_text("{}", encoding="utf-8")
    return made


def files(repository: Path) -> set[str]:
    return {path.relative_to(repository).as_posix() for path in repository.rglob("*") if path.is_file()}


def test_what_is_published_is_the_classifier_alone(hub: Hub, folder: Path) -> None:
    assert push_to_hub(folder, "me/films", commit_message="First") == "https://huggingface.co/me/films"
    assert files(hub.root / "me/films") == PUBLISHED
    assert hub.uploads == [{"revision": None, "commit_message": "First"}]
    assert hub.public == {"me/films": True}
    here, there = (tokensieve.load(path, device="cpu") for path in (folder, hub.root / "me/films"))
    assert there.labels == here.labels
    np.testing.assert_array_equal(there.predict_proba(TEXTS), here.predict_proba(TEXTS))


def test_a_missing_card_is_warned_of(hub: Hub, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "README.md").unlink()
    push_to_hub(folder, "films")
    assert "no model card" in caplog.text


def test_it_can_be_pushed_again_and_to_a_branch(hub: Hub, folder: Path) -> None:
    push_to_hub(folder, "films")
    assert hub.branches == []
    assert push_to_hub(folder, "films", revision="v2") == "https://huggingface.co/me/films/tree/v2"
    assert hub.branches == ["v2"]
    assert hub.uploads[-1]["revision"] == "v2"
    push_to_hub(folder, "films", revision="refs/pr/1")
    assert hub.branches == ["v2"], "pull requests are no branches to make"


def test_private(hub: Hub, folder: Path) -> None:
    push_to_hub(folder, "me/secret", private=True, token="hf_of_mine")
    assert hub.public == {"me/secret": False}
    assert hub.tokens == ["hf_of_mine"]
    push_to_hub(folder, "me/films")
    uploads = len(hub.uploads)
    with pytest.raises(HubError, match=r"me/films.*public"):
        push_to_hub(folder, "me/films", private=True)
    assert len(hub.uploads) == uploads


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_folder_that_lacks_something_is_not_published(hub: Hub, folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match="made"):
        push_to_hub(folder, "me/films")
    assert not hub.root.exists()


def test_other_folders_are_not_published(hub: Hub, folder: Path, tiny_bert_dir: Path) -> None:
    with pytest.raises(CheckpointError, match="'bert'"):
        push_to_hub(tiny_bert_dir, "me/films")
    with pytest.raises(CheckpointError, match="no such folder"):
        push_to_hub(folder / "absent", "me/films")
    (folder / "training.json").unlink()
    with pytest.raises(CheckpointError, match="not finished"):
        push_to_hub(folder, "me/films")
    assert not hub.root.exists()


@pytest.mark.parametrize(("status", "hint"), [(401, "hf auth login"), (403, "right to write"), (500, "Server said no")])
def test_refusals_of_the_hub(hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch, status: int, hint: str) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise HfHubHTTPError(
            "Server said no\nat length", response=SimpleNamespace(status_code=status, headers={}, request=None)
        )

    monkeypatch.setattr(HfApi, "upload_folder", refuse)
    with pytest.raises(HubError, match=hint) as caught:
        push_to_hub(folder, "me/films", token="hf_of_mine")
    assert "me/films" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "hf_of_mine" not in str(caught.value)


def test_without_a_connection(hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr(HfApi, "create_repo", fail)
    with pytest.raises(HubError, match=r"cannot be reached.*Name or service"):
        push_to_hub(folder, "me/films")


def test_the_hub_switched_off(folder: Path) -> None:
    """With the real client."""
    with pytest.raises(HubError, match="HF_HUB_OFFLINE"):
        push_to_hub(folder, "me/films")


@pytest.mark.parametrize("name", ["a/b/c", "no spaces", "me/", "x--y"])
def test_names_that_no_repository_can_have(folder: Path, name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        push_to_hub(folder, name)
    assert repr(name) in str(caught.value)


def test_the_models_own_push_to_hub(hub: Hub, folder: Path) -> None:
    """Inherited from transformers; the tokenizer is pushed beside it, as with any other model."""
    here = tokensieve.load(folder, device="cpu")
    here.model.push_to_hub("films")
    here.engine.tokenizer.push_to_hub("films")
    repository = hub.root / "me/films"
    assert {"README.md", "config.json", "model.safetensors", "tokenizer.json"} <= files(repository)
    there = tokensieve.load(repository, device="cpu")
    np.testing.assert_array_equal(there.predict_proba(TEXTS), here.predict_proba(TEXTS))
    assert there.model.settings == here.model.settings
