"""Settings of the command line: --set, --config, the options for the usual ones, and the names of version 0.1.0."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer

from e2e.conftest import Cli, write_rows
from flat import reduction
from tokensieve.cli.app import app
from tokensieve.cli.old_options import OLD_OPTIONS
from tokensieve.training.recipe import Recipe

TRAIN = ("train", "--model", "base", "--data", "good.jsonl", "--output", "out", "--device", "cpu")
COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]

FAST: dict[str, Any] = {
    "pruning": "ratio", "site": "hidden", "score": "learned", "keep_ratios": (0.42, 0.62, 0.62, 0.62),
    "pooling": "mean", "min_length": 48, "score_noise": 0.5, "leaving_keys": True, "min_tokens": 24, "reread": 0.08,
}  # fmt: skip
CONSTANT = {"keep_ratios": None, "keep_ratio": 0.7}

# As options of 0.1.0, as options of today, and what both mean.
REDUCTION: list[tuple[str, str, dict[str, Any]]] = [
    ("--preset dense", "--preset dense", {"pruning": "none"}),
    ("--pruning none --min-tokens 4", "--set prune=none", {"pruning": "none"}),
    ("--preset paper-p", "--preset paper-p", {"pruning": "ratio", "pooling": "mean"}),
    ("--preset paper-pfc-7", "--preset paper-pfc-7", {"combine_layer": 3, "pooling": "mean"}),
    ("--preset paper-pfc-11 --keep-ratio 0.5 --combination-tokens 4",
     "--preset paper-pfc-11 --keep .5 --set combine.tokens=4",
     {"combine_layer": 3, "pooling": "mean", "keep_ratio": 0.5, "combination_tokens": 4}),
    ("--preset paper-c-7 --combine-mode insert --combine-layer 5",
     "--preset paper-c-7 --set combine.mode=insert --set combine.layer=5",
     {"pruning": "none", "combine_layer": 5, "combine_mode": "insert", "pooling": "mean"}),
    ("--pruning ratio --heads per_head --no-protect-special",
     "--set prune.select=top-share --set prune.score.heads=per_head --set protect_special=false",
     {"pruning": "ratio", "heads": "per_head", "protect_special": False}),
    ("--protect-special", "--set protect_special=true", {}),
    ("--ratio-scope candidates --alpha-important 0.1 --alpha-unimportant 0.8 --pruning fuzzy",
     "--set prune.select.scope=candidates --set prune.select.alpha_important=.1 "
     "--set prune.select.alpha_unimportant=.8",
     {"ratio_scope": "candidates", "alpha_important": 0.1, "alpha_unimportant": 0.8}),
    ("--site keys --min-tokens 4", "--set prune.site=keys --set prune.select.min_tokens=4", {"min_tokens": 4}),
    ("--site hidden --pooling mean --min-length=64",
     "--set prune.site=hidden --set pooling=mean --set min_length=64",
     {"site": "hidden", "pooling": "mean", "min_length": 64}),
    ("--pooling host", "--set pooling=pretrained", {"pooling": "host"}),
    ("--combine-layer 2 --no-combine-scale --no-combine-noise --combine-count-offset 1 --combine-init random",
     "--set combine.layer=2 --set combine.scale=false --set combine.noise=false --set combine.count_offset=1",
     {"combine_layer": 2, "combine_scale": False, "combine_noise": False, "combine_count_offset": 1.0}),
    ("--combine-layer 2 --no-combine-scale --combine-scale --combine-noise",
     "--set combine.layer=2", {"combine_layer": 2}),
    ("--site hidden --merge-pruned --combine-layer 2 --combine-init identity --combine-assignment soft",
     "--set prune.site=hidden --set prune.merge=most-similar --set combine.layer=2 --set combine.init=identity "
     "--set combine.assignment=soft",
     {"site": "hidden", "merge_pruned": True, "combine_layer": 2, "combine_init": "identity",
      "combine_assignment": "soft"}),
    ("--merge-pruned --no-merge-pruned", "--set prune.merge=none", {}),
    ("--score-queries sample --score-sample 8",
     "--set prune.score.queries=sample --set prune.score.sample=8", {"score_queries": "sample", "score_sample": 8}),
    ("--pruning ratio --score-noise 0.5 --leaving-keys --score learned --site hidden",
     "--set prune.select=top-share --set prune.score=learned --set prune.score.noise=0.5 --set prune.site=ahead "
     "--set prune.site.keys_once_more=true",
     {"pruning": "ratio", "score": "learned", "site": "hidden", "leaving_keys": True, "score_noise": 0.5}),
    ("--preset fast", "--preset fast", FAST),
    ("--preset fast --site hidden --score learned", "--preset fast --set prune.site=ahead", FAST),
    ("--preset fast --reread 0", "--preset fast --set defer=none", FAST | {"reread": 0.0}),
    ("--preset paper-p --reread 0.1",
     "--preset paper-p --set defer.share=.1", {"pruning": "ratio", "pooling": "mean", "reread": 0.1}),
    ("--preset paper-p --reread 0.1 --reread-ratios 1,1,0.95,1",
     "--preset paper-p --set defer.share=.1 --set defer.schedule=listed --set defer.schedule.shares=1,1,.95,1",
     {"pruning": "ratio", "pooling": "mean", "reread": 0.1, "reread_ratios": (1.0, 1.0, 0.95, 1.0)}),
    ("--preset fast --keep-ratio 0.7", "--preset fast --keep .7", FAST | CONSTANT),
    ("--keep-ratios 1,0.7,0.5,1", "--set prune.schedule=listed --set prune.schedule.shares=1,.7,.5,1",
     {"keep_ratios": (1.0, 0.7, 0.5, 1.0)}),
    ("--preset balanced --leaving-keys --score-noise 0",
     "--preset balanced --set prune.site.keys_once_more=true --set prune.score.noise=0",
     {"pruning": "ratio", "site": "hidden", "score": "learned", "keep_ratios": (0.9, 0.693, 0.693, 0.693),
      "pooling": "mean", "min_length": 48, "leaving_keys": True}),
    ("--preset fast --no-leaving-keys", "--preset fast --set prune.site.keys_once_more=false",
     FAST | {"leaving_keys": False}),
    ("--preset fast --combine-layer 3",
     "--preset fast --set combine.layer=3 --set prune.schedule=listed --set prune.schedule.shares=.42,.62",
     FAST | {"combine_layer": 3, "keep_ratios": (0.42, 0.62)}),  # 0.1.0 cut the shares of four layers off
    ("--preset fast --pruning fuzzy", "--preset fast --set prune.select=fuzzy --set prune.select.min_tokens=24",
     FAST | {"pruning": "fuzzy"}),
    ("--preset fast --pruning none", "--preset fast --set prune=none --set defer=none",
     {"pruning": "none", "pooling": "mean", "min_length": 48}),
    ("--preset dense --keep-ratio 0.5 --site hidden --min-tokens 4 --heads shared --combination-tokens 4",
     "--preset dense", {"pruning": "none"}),
    ("--preset fast --combine-mode insert --no-combine-scale --alpha-important 0.5 --heads shared",
     "--preset fast", FAST),
]  # fmt: skip

# Options of 0.1.0, and the fields of the recipe that they mean.
RECIPE: list[tuple[str, dict[str, Any]]] = [
    ("--accumulation 3 --warmup 0.2 --weight-decay 0.01 --clip=2",
     {"accumulation": 3, "warmup": 0.2, "weight_decay": 0.01, "clip": 2.0}),
    ("--select accuracy --patience 2 --class-weights balanced --attention-dropout 0",
     {"select": "accuracy", "patience": 2, "class_weights": "balanced", "attention_dropout": 0.0}),
    ("--class-weights none --align --calibrate --no-gradient-checkpointing --no-bf16", {}),
    ("--bf16", {"bf16": True}),
    ("--no-align --no-calibrate --gradient-checkpointing",
     {"refit_head": False, "calibrate": False, "gradient_checkpointing": True}),
    ("--lora-rank 4 --lora-alpha 8 --lora-dropout 0.1 --lora-targets query,key",
     {"lora_rank": 4, "lora_alpha": 8.0, "lora_dropout": 0.1, "lora_targets": ("query", "key")}),
    ("--lora-rank 4 --lora-targets query", {"lora_rank": 4, "lora_targets": ("query",)}),
    ("--teacher 1,2 --distill-weight 1 --distill-temperature 3 --distill-pooled 2",
     {"teacher": "1,2", "distill_weight": 1.0, "distill_temperature": 3.0, "distill_pooled": 2.0}),
    ("--tighten 0.5 --new-rate 10", {"pruning_warmup": 0.5, "head_lr_multiplier": 10.0}),
    ("--follow 1 --follow-rate 0.01 --reread-loss 0.5",
     {"feature_epochs": 1, "feature_learning_rate": 0.01, "max_expected_loss": 0.5}),
]  # fmt: skip
# The same for what is handed to the run, and for how the data was read.
RUN: list[tuple[str, dict[str, Any]]] = [
    ("--checkpoint-steps 5 --report-to a --report-to b --run-name 7 --threads 1",
     {"checkpoint_steps": 5, "report_to": ("a", "b"), "run_name": "7"}),
    ("--report-to a", {"report_to": ("a",)}),
]  # fmt: skip
READING: list[tuple[str, dict[str, Any]]] = [
    ("--label-separator ; --on-bad-rows skip --validation-fraction 0.5",
     {"label_separator": ";", "policy": "skip", "validation_fraction": 0.5}),
    ("--delimiter , --data data.csv", {"delimiter": ","}),
    ("--delimiter=; --data other.csv", {"delimiter": ";"}),
    ("--unlabelled data.csv", {"unlabelled": "data.csv"}),
]  # fmt: skip


END = "; the old name goes with the next version"


def check_notices(given: str, err: str) -> None:
    """Each old option has a line that names the new one, and nothing else has one. The last of a pair counts."""
    table = OLD_OPTIONS["train"]
    used = {table[name].new: name for name in (word.partition("=")[0] for word in given.split()) if name in table}
    lines = [line.removesuffix(END).partition(" is now ") for line in err.splitlines() if line.endswith(END)]
    told = {old: new for old, _, new in lines}
    assert sorted(told) == sorted(used.values())
    assert len(told) == len(lines)
    for old, new in told.items():
        option = table[old]
        instead = {" ".join(f"--set {own}" for own in values) for values in option.instead.values()}
        assert new == option.notice or f"{option.new}=" in new or new in instead, f"{old}: {new}"


@pytest.mark.parametrize(("given", "expected"), [(new, expected) for _, new, expected in REDUCTION])
def test_settings_reach_the_model(
    cli: Cli, work: Path, handed_over: dict[str, Any], given: str, expected: dict[str, Any]
) -> None:
    outcome = cli(*TRAIN, *given.split())
    outcome.error()
    assert " is now " not in outcome.err
    assert handed_over["settings"].expanded(4) == reduction(**expected).expanded(4)


@pytest.mark.parametrize(("given", "expected"), [(old, expected) for old, _, expected in REDUCTION])
def test_old_options_of_the_reduction(
    cli: Cli, work: Path, handed_over: dict[str, Any], given: str, expected: dict[str, Any]
) -> None:
    outcome = cli(*TRAIN, *given.split())
    outcome.error()
    check_notices(given, outcome.err)
    assert handed_over["settings"].expanded(4) == reduction(**expected).expanded(4)


@pytest.mark.parametrize(("given", "expected"), RECIPE)
def test_old_options_of_the_recipe(
    cli: Cli, work: Path, handed_over: dict[str, Any], given: str, expected: dict[str, Any]
) -> None:
    outcome = cli(*TRAIN, *given.split())
    outcome.error()
    check_notices(given, outcome.err)
    assert json.dumps(handed_over["recipe"].to_dict()) == json.dumps(Recipe(**expected).to_dict()), "1 is not 1.0"


@pytest.mark.parametrize(("given", "expected"), [*RUN, *READING])
def test_old_options_of_data_and_run(
    cli: Cli, work: Path, handed_over: dict[str, Any], given: str, expected: dict[str, Any]
) -> None:
    rows = [{"text": f"film {number} law", "label": ("film", "law")[number % 2]} for number in range(24)]
    write_rows(work / "data.csv", rows)
    table = (work / "data.csv").read_text(encoding="utf-8")
    (work / "other.csv").write_text(table.replace(",", ";"), encoding="utf-8")
    outcome = cli(*TRAIN, *given.split())
    outcome.error()
    check_notices(given, outcome.err)
    found = handed_over | handed_over["reading"]
    assert {name: found[name] for name in expected} == expected


def test_a_notice_says_what_to_write(cli: Cli, work: Path, handed_over: dict[str, Any]) -> None:
    given = "--keep-ratio 0.5 --pruning ratio --no-align --delimiter ; --score learned --keep-ratios 1,1,1,1"
    told = [
        line.partition(";")[0] if "delim" not in line else line for line in cli(*TRAIN, *given.split()).err.splitlines()
    ]
    assert told[:6] == [
        "--keep-ratio is now --keep",
        "--pruning is now --set prune.select=top-share",
        "--no-align is now --set train.refit_head=false",
        "--delimiter is now --set 'data.delimiter=;'; the old name goes with the next version",
        "--score is now --set prune.score=learned --set prune.site=ahead",
        "--keep-ratios is now --set prune.schedule=listed --set prune.schedule.shares=1,1,1,1",
    ]


def test_every_old_option_is_tested() -> None:
    given = [old for old, *_ in (*REDUCTION, *RECIPE, *RUN, *READING)]
    used = {word.partition("=")[0] for words in given for word in words.split()}
    assert [name for name in OLD_OPTIONS["train"] if name not in used] == []


def test_old_options_of_other_commands(cli: Cli, work: Path) -> None:
    evaluate = ("evaluate", "--model", "model", "--data", "good.jsonl", "--json")
    outcome = cli(*evaluate, "--words-on-disk")
    assert "--words-on-disk is now --offload-embeddings; the old name" in outcome.err
    assert outcome.json()["accuracy"] == cli(*evaluate, "--offload-embeddings").json()["accuracy"]
    predict = ("predict", "--model", "model", "--input", "good.jsonl")
    outcome = cli(*predict, "--words-on-disk")
    assert "--words-on-disk is now --offload-embeddings" in outcome.err
    assert outcome.out == cli(*predict).out
    info = ("info", "--model", "base", "--length", "64", "--preset", "paper-p", "--json")
    old = cli(*info, "--keep-ratio", "0.5", "--site=hidden", "--combine-layer", "3", "--reread", ".1")
    assert old.err.count("the old name goes with the next version") == 4
    sets = ("prune.site=hidden", "combine.layer=3", "defer.share=.1")
    new = cli(*info, "--keep", "0.5", *(part for text in sets for part in ("--set", text)))
    assert old.json() == new.json()
    assert new.err == ""


def test_old_options_are_told_apart_from_values(cli: Cli, work: Path, handed_over: dict[str, Any]) -> None:
    outcome = cli(*TRAIN, "--text-column", "--site", "--set", "data.on_bad_rows=skip")
    assert " is now " not in outcome.err and "'--site'" in outcome.error()
    assert "--site needs a value; it is now --set prune.site" in cli(*TRAIN, "--site").error()
    assert cli(*TRAIN, "--align=1").code == 2


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_no_old_option(cli: Cli, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    shown = {word.strip(",") for word in cli(name, "--help").out.split()}
    own = {option for parameter in COMMANDS[name].params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert shown & OLD_OPTIONS.get(name, {}).keys() == set()
    assert own & OLD_OPTIONS.get(name, {}).keys() == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_at_most_25_options(name: str) -> None:
    assert len(COMMANDS[name].params) <= 25


def settings_of(cli: Cli, handed_over: dict[str, Any], *given: object) -> dict[str, Any]:
    """What reaches the training."""
    handed_over.clear()
    line = cli(*TRAIN, *given).error()
    assert "seen enough" in line, line
    return handed_over


def test_a_file_of_settings(cli: Cli, work: Path, handed_over: dict[str, Any]) -> None:
    """It is the same as options and --set, and these win over it."""
    settings = {
        "preset": "paper-pfc-7",
        "keep": 0.5,
        "combine": {"tokens": 4},
        "prune": {"score": {"heads": "per_head"}},
        "train": {"epochs": 3, "warmup": 0.2, "learning_rate": 1},
        "data": {"on_bad_rows": "skip", "validation_fraction": 0.5},
        "run": {"checkpoint_steps": 4},
    }
    Path("settings.json").write_text(json.dumps(settings), encoding="utf-8")
    file = ("--config", "settings.json")
    seen = settings_of(cli, handed_over, *file)
    wanted = {"combine_layer": 3, "pooling": "mean", "combination_tokens": 4, "heads": "per_head"}
    assert seen["settings"].expanded(4) == reduction(**wanted, keep_ratio=0.5).expanded(4)
    assert seen["recipe"] == Recipe(epochs=3, warmup=0.2, learning_rate=1.0)
    assert (seen["reading"]["policy"], seen["checkpoint_steps"], len(seen["splits"].validation)) == ("skip", 4, 12)
    over = ("--epochs", "5", "--set", "train.warmup=0.3", "--keep", "0.7", "--set", "combine.tokens=5")
    seen = settings_of(cli, handed_over, *file, *over, "--set", "run.checkpoint_steps=none")
    assert seen["settings"].expanded(4) == reduction(**wanted | {"combination_tokens": 5}, keep_ratio=0.7).expanded(4)
    assert seen["recipe"] == Recipe(epochs=5, warmup=0.3, learning_rate=1.0), "5 is the default, and was given"
    assert seen["checkpoint_steps"] is None
    seen = settings_of(cli, handed_over, *file, "--preset", "paper-p", "--set", "combine=none")
    assert seen["settings"] == reduction(pruning="ratio", pooling="mean", keep_ratio=0.5, heads="per_head",
                                         combination_tokens=4)  # fmt: skip


@pytest.mark.parametrize(
    ("content", "hints"),
    [
        ("{", ("--config settings.json", "no JSON object")),
        ('{"train": {"epoch": 3}}', ("--config settings.json", "'train.epoch'", "did you mean train.epochs?")),
        ('{"trian": {"epochs": 3}}', ("--config settings.json", "'trian'", "did you mean train?")),
        ('{"train": 3}', ("--config settings.json train", "a field of train")),
        ('{"data": {"on_bad_rows": 3}}', ("--config settings.json data.on_bad_rows=3", "'skip'")),
        ('{"keep": 0.5, "keep": 0.6}', ("--config settings.json", "names 'keep' twice")),
        ('{"prune": {"site": "keys", "site": "hidden"}}', ("names 'site' twice",)),
        ('{"combine": {}}', ("combine: there is no combine", "give combine.layer too")),
        ('{"keep": 2}', ("keep", "=2", "(0, 1]")),
        ('{"keep": {"share": 0.5}}', ("--config settings.json keep.share", "a plain value, such as 0.7")),
        ('{"preset": ["fast"]}', ("preset=['fast']", "give a text")),
        ('{"prune": 3}', ("prune=3", "give an object")),
        ('{"train": {"clip": 1' + "0" * 400 + "}}", ("clip=", "a number above 0")),
        (
            '{"train": {"lora_targets": {"query": 1}}}',
            ("--config settings.json train.lora_targets.query", "a field of train"),
        ),
        ('{"run": {"report_to": [1]}}', ("--config settings.json run.report_to=(1,)", "names of trackers")),
    ],
)
def test_a_file_that_is_wrong(cli: Cli, work: Path, content: str, hints: tuple[str, ...]) -> None:
    Path("settings.json").write_text(content, encoding="utf-8")
    line = cli(*TRAIN, "--config", "settings.json").error()
    assert [hint for hint in hints if hint not in line] == [], line


@pytest.mark.parametrize(
    ("given", "hints"),
    [
        (("--set", "combine.tokens=4"), ("combine.tokens: there is no combine", "give combine.layer too")),
        (("--set", "combine=none", "--set", "combine.mode=insert"), ("combine.mode", "give combine.layer too")),
        (("--set", "defer.schedule=constant"), ("defer.schedule", "give defer.share too")),
        (("--preset", "dense", "--set", "prune.site=hidden"), ("prune.site", "give prune.select too")),
        (("--preset", "dense", "--keep", "0.7"), ("prune.schedule", "there is no prune", "a preset that prunes")),
        (("--set", "prune=none", "--set", "prune.score.heads=shared"), ("prune.score.heads", "prune.select")),
    ],
    ids=str,
)
def test_a_setting_of_a_part_that_there_is_not(
    cli: Cli, work: Path, given: tuple[str, ...], hints: tuple[str, ...]
) -> None:
    """It would bring the whole part with defaults that nobody asked for, such as a combining module at layer 1."""
    line = cli(*TRAIN, *given).error()
    assert [hint for hint in hints if hint not in line] == [], line


def test_old_options_come_between_the_file_and_set(cli: Cli, work: Path, handed_over: dict[str, Any]) -> None:
    Path("settings.json").write_text('{"prune": {"select": {"min_tokens": 3}}, "min_length": 7}', encoding="utf-8")
    given = ("--config", "settings.json", "--min-tokens", "4", "--min-length", "8", "--set", "min_length=9")
    assert settings_of(cli, handed_over, *given)["settings"] == reduction(min_tokens=4, min_length=9)


@pytest.mark.parametrize("given", ["--keep .5 --set keep=.6", "--preset dense --set preset=fast"])
def test_an_option_and_set_for_the_same(cli: Cli, work: Path, given: str) -> None:
    assert "are the same setting: give one of them" in cli(*TRAIN, *given.split()).error()


def test_a_file_with_a_byte_order_mark(cli: Cli, work: Path, handed_over: dict[str, Any]) -> None:
    Path("settings.json").write_text('{"keep": 0.5}', encoding="utf-8-sig")
    assert settings_of(cli, handed_over, "--config", "settings.json")["settings"] == reduction(keep_ratio=0.5)


def test_the_last_set_counts(cli: Cli, work: Path, handed_over: dict[str, Any]) -> None:
    given = (
        "--set",
        "train.warmup=0.3",
        "--set",
        "train.warmup=0.2",
        "--keep",
        "0.5",
        "--set",
        "prune.schedule.keep=.4",
    )
    seen = settings_of(cli, handed_over, *given)
    assert seen["recipe"] == Recipe(warmup=0.2)
    assert seen["settings"] == reduction(keep_ratio=0.4)


def test_values_have_the_fields_type(cli: Cli, work: Path, handed_over: dict[str, Any]) -> None:
    given = (
        "train.clip=2",
        "train.class_weights=none",
        "train.teacher=7",
        "run.run_name=1",
        "run.report_to=tensorboard",
    )
    seen = settings_of(cli, handed_over, *(part for text in given for part in ("--set", text)))
    recipe = seen["recipe"]
    assert (recipe.clip, type(recipe.clip), recipe.class_weights, recipe.teacher) == (2.0, float, "none", "7")
    assert (seen["run_name"], seen["report_to"]) == ("1", ("tensorboard",))
