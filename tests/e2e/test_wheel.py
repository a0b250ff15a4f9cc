"""The wheel installs into an empty environment and works there, without the repository and without the extras."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from transformers import PreTrainedTokenizerFast

import tokensieve
from support.paths import ROOT

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
TEXTS = ["the film was good", "a bad share price in the market , not good .", "the judge"]
# Variables that would lead back here, or make each program compile all of torch again.
OF_THIS_ENVIRONMENT = {"PYTHONPATH", "VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE"}
# An empty environment is made and torch installed into it; on a busy machine with a cold cache that takes minutes.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(480)]

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=180)
    assert result.returncode == 0, result.stdout + result.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def run_installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Runs a program of an environment that holds the wheel and its dependencies alone, outside the repository."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / "venv", with_pip=True, symlinks=os.name != "nt")
    scripts = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
    environment = {name: value for name, value in os.environ.items() if name not in OF_THIS_ENVIRONMENT}

    def run(program: str, *args: str | Path, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        command = [str(scripts / program), *map(str, args)]
        return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, timeout=timeout)

    install = ["-m", "pip", "install", "--no-compile", "-c", ROOT / "constraints.txt"]
    for what in ("torch", wheel):  # the same order as in the Makefile, so that the CPU build is taken
        result = run("python", *install, what, timeout=300)
        assert result.returncode == 0, result.stdout + result.stderr
    yield run
    shutil.rmtree(folder)  # more than a gigabyte


@pytest.fixture(scope="module")
def classifier(
    tiny_bert_dir: Path, tiny_tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Folder of a small compressed classifier, saved by the development environment."""
    folder = tmp_path_factory.mktemp("classifier")
    config = tokensieve.ReductionConfig.from_dict({"combine": {"layer": 3, "tokens": 2}})
    tokensieve.compress(str(tiny_bert_dir), config, tokenizer=tiny_tokenizer).save_pretrained(folder)
    tiny_tokenizer.save_pretrained(folder)
    return folder


def assert_one_line_error(result: subprocess.CompletedProcess[str], remedy: str) -> None:
    assert result.returncode != 0, result.stdout
    assert "Traceback" not in result.stderr
    (line,) = result.stderr.strip().splitlines()
    assert remedy in line


def labels(path: Path) -> list[str]:
    return [json.loads(line)["label"] for line in path.read_text(encoding="utf-8").splitlines()]


def test_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    sources = {path.relative_to(ROOT / "src").as_posix() for path in (ROOT / "src" / "tokensieve").rglob("*.py")}
    info = f"tokensieve-{VERSION}.dist-info/"
    assert {name for name in names if name.endswith(".py")} == sources
    assert "tokensieve/py.typed" in names
    assert info + "licenses/LICENSE" in names
    assert {name.split("/")[0] + "/" for name in names} == {"tokensieve/", info}


@pytest.mark.parametrize("options", [("bench", "smoke.json", "--threads", "1"), ("bench", "--help"), ("demo",)])
def test_benchmarks_need_a_clone(run_installed: Run, options: tuple[str, ...]) -> None:
    """The wheel has none of them; each command says so, and neither is listed."""
    result = run_installed("tokensieve", *options)
    assert_one_line_error(result, f"`tokensieve {options[0]}` is not in the wheel: it runs in a clone")
    commands = run_installed("tokensieve", "--help").stdout
    assert "predict" in commands
    assert "bench" not in commands and "demo" not in commands
    old = run_installed("python", "-c", "import tokensieve.bench.figures")
    assert "it is now tokensieve_bench, which only a clone of the repository has" in old.stderr


def test_metadata_leaves_torch_to_the_user(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (name,) = (name for name in archive.namelist() if name.endswith("METADATA"))
    required = [line for line in archive.read(name).decode().splitlines() if line.startswith("Requires-Dist: torch")]
    assert required == ["Requires-Dist: torch>=2.6"]


def test_help(run_installed: Run) -> None:
    result = run_installed("tokensieve", "--help")
    assert result.returncode == 0, result.stderr
    assert all(command in result.stdout for command in ("train", "evaluate", "predict", "info"))


def test_import_finds_the_installed_copy(run_installed: Run) -> None:
    script = "import tokensieve, importlib.metadata as m; print(m.version('tokensieve'), tokensieve.__file__)"
    result = run_installed("python", "-W", "error::DeprecationWarning:tokensieve", "-c", script)
    assert result.returncode == 0, result.stderr
    version, file = result.stdout.split(maxsplit=1)
    assert version == VERSION
    assert "site-packages" in file


def test_predicts_without_any_extra(run_installed: Run, run_cli: Run, classifier: Path, tmp_path: Path) -> None:
    documents = tmp_path / "documents.jsonl"
    documents.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS), encoding="utf-8")
    predict = ("predict", "--model", classifier, "--input", documents, "--output")
    installed = run_installed("tokensieve", *predict, tmp_path / "installed.jsonl")
    assert installed.returncode == 0, installed.stderr
    here = run_cli(*predict, tmp_path / "here.jsonl")
    assert here.returncode == 0, here.stderr
    rows = labels(tmp_path / "installed.jsonl")
    assert len(rows) == len(TEXTS)
    assert rows == labels(tmp_path / "here.jsonl")


def test_parquet_without_its_extra(run_installed: Run, classifier: Path, tmp_path: Path) -> None:
    documents, output = tmp_path / "documents.parquet", tmp_path / "labels.jsonl"
    pyarrow.parquet.write_table(pyarrow.table({"text": TEXTS}), documents)
    result = run_installed("tokensieve", "predict", "--model", classifier, "--input", documents, "--output", output)
    assert_one_line_error(result, "tokensieve[parquet]")
    assert list(tmp_path.iterdir()) == [documents]


def test_training_without_its_extra(run_installed: Run, classifier: Path, tmp_path: Path) -> None:
    documents, output = tmp_path / "documents.jsonl", tmp_path / "trained"
    rows = [{"text": f"{text} {word}", "label": word} for text in TEXTS for word in ("law", "goal") for _ in range(5)]
    documents.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    result = run_installed("tokensieve", "train", "--model", classifier, "--data", documents, "--output", output)
    assert_one_line_error(result, "tokensieve[train]")
