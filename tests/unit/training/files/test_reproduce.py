"""The command in the card: the command line reads from it what the run was made with."""

import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer

from contract.variants import tiny_model
from flat import flat_of, reduction, with_flat
from tokensieve import ReductionConfig
from tokensieve.backbones.default_model import HUB_NAME, name_of_base
from tokensieve.cli.app import app
from tokensieve.cli.settings import TrainSettings, given_options, train_settings
from tokensieve.training.files.reproduce import READING, train_command
from tokensieve.training.recipe import Recipe
from tokensieve.training.settings import reduction_settings
from unit.training.run_record import RECORD


def parsed(command: str) -> tuple[dict[str, Any], TrainSettings]:
    """What `tokensieve train` makes of a command: its parameters, and the settings they stand for."""
    words = shlex.split(command.replace("\\\n", " "))
    assert words[:2] == ["tokensieve", "train"]
    train: Any = typer.main.get_command(app).commands["train"]  # type: ignore[attr-defined]
    context = train.make_context("train", words[2:])
    given: dict[str, Any] = context.params
    return given, train_settings(given_options(context), given["assignments"], given["config"])


SETTINGS = [
    reduction(),
    *(ReductionConfig.preset(name) for name in ("dense", "paper-p", "paper-pf", "paper-c-11", "paper-pfc-7", "fast")),
    reduction(pruning="ratio", site="hidden", score="learned", pooling="mean"),
    reduction(pruning="ratio", site="hidden", score="learned", keep_ratios=(0.5, 0.8, 0.8), combine_layer=4),
    with_flat(ReductionConfig.preset("fast"), combine_layer=3),
    reduction(keep_ratio=0.7, site="hidden"),
    reduction(keep_ratios=(1.0, 0.7, 0.5, 1.0, 0.9, 0.8), site="hidden"),
    reduction(pruning="ratio", heads="per_head", protect_special=False, min_length=32),
    reduction(combine_layer=2, combine_mode="insert", combine_noise=False, combination_tokens=4, alpha_important=0.2),
    with_flat(ReductionConfig.preset("paper-pfc-7"), keep_ratio=0.8, ratio_scope="candidates"),
]
RECIPES = [
    Recipe(),
    Recipe(learning_rate=3e-4, epochs=2, patience=1, select="f1_macro", bf16=True, attention_dropout=0.0, seed=7),
    Recipe(
        lora_rank=4,
        lora_alpha=2.0,
        lora_targets=("key", "value"),
        gradient_checkpointing=True,
        refit_head=False,
        calibrate=False,
    ),
    Recipe(teacher="a,b 'c'", class_weights="balanced", accumulation=2, seed=3),
]


def short_name(settings: ReductionConfig) -> str:
    flat = flat_of(settings, depth=6)
    return f"{flat.pruning}-{flat.site}-{flat.combine_layer}"


@pytest.mark.parametrize("settings", SETTINGS, ids=short_name)
@pytest.mark.parametrize("recipe", RECIPES, ids=["default", "changed", "lora", "teacher"])
def test_the_command_gives_the_settings_back(settings: ReductionConfig, recipe: Recipe) -> None:
    record = RECORD | {"settings": settings.to_dict(), "recipe": recipe.to_dict()}
    command = train_command(record, "out", num_layers=6)
    assert command is not None
    given, asked = parsed(command)
    config = tiny_model(reduction(), num_hidden_layers=6).config
    found = reduction_settings(config, asked.reduction.preset, asked.reduction.assignments)
    assert found.expanded(6) == settings.expanded(6)
    assert asked.recipe == recipe
    assert (given["model"], given["data"], str(given["output"])) == ("some/base", "news", "out")


def test_the_command_has_no_more_than_it_needs() -> None:
    def command(settings: ReductionConfig, **entries: Any) -> str:
        record = RECORD | {"settings": settings.to_dict(), "base": HUB_NAME} | entries
        return str(train_command(record, "out", num_layers=6)).replace(" \\\n   ", "")

    assert command(reduction()) == "tokensieve train --data news --output out"
    assert (
        command(ReductionConfig.preset("paper-pfc-7"))
        == "tokensieve train --data news --preset paper-pfc-7 --output out"
    )
    assert command(reduction(), data="Python standard library") == "tokensieve train --output out"
    launched = command(reduction(), processes=2)
    assert launched == "torchrun --nproc-per-node 2 -m tokensieve train --data news --output out"


def test_the_command_reads_the_data_as_it_was_read() -> None:
    reading = {
        "text_column": "body text",
        "label_column": "topic",
        "pair_column": "reply",
        "multi_label": True,
        "label_separator": ";",
        "policy": "skip",
        "validation_fraction": 0.1,
        "max_documents": 50,
        "unlabelled": "more.jsonl",
    }
    record = RECORD | {"settings": reduction().to_dict(), "reading": reading, "multi_label": True}
    data = parsed(str(train_command(record, "out", num_layers=6)))[1].data
    assert {name: data["on_bad_rows" if name == "policy" else name] for name in reading} == reading
    plain = parsed(str(train_command(RECORD | {"settings": reduction().to_dict()}, "out", num_layers=6)))[1].data
    assert {name: plain["on_bad_rows" if name == "policy" else name] for name in READING} == READING


@pytest.mark.parametrize("name", ["it's a name", "$(rm) `x`", "two\nlines\t'and \\ more", "-x"])
def test_the_command_is_quoted(name: str) -> None:
    record = RECORD | {"settings": reduction().to_dict(), "data": name}
    command = str(train_command(record, "out", num_layers=6)).replace("tokensieve train", "printf '%s\\0'", 1)
    words = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True).stdout.split("\0")
    assert words[words.index("--data") + 1] == name


def test_names_of_bases(tmp_path: Path) -> None:
    (tmp_path / "tiny-bert").mkdir()
    assert name_of_base(tmp_path / "tiny-bert") == "tiny-bert"
    assert name_of_base("bert-base-uncased") == "bert-base-uncased"


def test_the_default_model_goes_by_its_name(default_model_dir: Path) -> None:
    assert name_of_base(default_model_dir) == HUB_NAME
