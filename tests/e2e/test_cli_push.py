"""`tokensieve push`: what goes wrong is one line, what goes right an address."""

import shlex
from pathlib import Path

import pytest

from e2e.conftest import Cli, listing


@pytest.mark.parametrize(
    ("args", "hints"),
    [
        ("--model model --repo me/films", ("me/films", "HF_HUB_OFFLINE")),  # of the tests: there is no network
        ("--model model --repo me/films --private --revision v2", ("me/films", "HF_HUB_OFFLINE")),
        ("--model model --repo 'no spaces'", ("'no spaces'", "alphanumeric")),
        ("--model base --repo me/films", ("base", "'bert'", "tokensieve")),
        ("--model absent --repo me/films", ("absent", "no such folder")),
        ("--model good.jsonl --repo me/films", ("good.jsonl", "folder")),
    ],
)
def test_errors(cli: Cli, work: Path, args: str, hints: tuple[str, ...]) -> None:
    before = listing(work)
    line = cli("push", *shlex.split(args)).error()
    assert [hint for hint in hints if hint not in line] == [], line
    assert len(line) < 600
    assert listing(work) == before


def test_usage(cli: Cli, work: Path) -> None:
    outcome = cli("push", "--model", "model")
    assert outcome.code == 2
    assert "--repo" in outcome.err


def test_help(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert "--private" in cli("push", "--help").out


def test_the_address_is_told(cli: Cli, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}

    def pushed(folder: Path, repo_id: str, **options: object) -> str:
        asked.update(options, folder=folder, repo_id=repo_id)
        return f"https://huggingface.co/{repo_id}"

    monkeypatch.setattr("tokensieve.hub.push_to_hub", pushed)
    command = ("push", "--model", "model", "--repo", "me/films", "--private", "--revision", "v2", "--message", "First")
    assert cli(*command).out == "pushed to https://huggingface.co/me/films\n"
    assert asked == {
        "folder": Path("model"),
        "repo_id": "me/films",
        "private": True,
        "revision": "v2",
        "commit_message": "First",
    }
    assert cli(*command, "--json").json() == {"url": "https://huggingface.co/me/films"}
