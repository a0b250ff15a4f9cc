"""What a config of configs/accuracy asks for: data, start model, settings and recipe; and where its runs lie."""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import load_file, save_file

from tokensieve import ReductionConfig
from tokensieve.backbones.default_model import default_model_dir
from tokensieve.config.ptc import changed, from_flat
from tokensieve.data import DataSplits, load_splits
from tokensieve.runtime.precision import is_native
from tokensieve.training.recipe import Recipe
from tokensieve_bench.places import DERIVED, ROOT, RUNS

T = TypeVar("T")
NO_SETTINGS = (
    "preset",
    "settings",
    "layers",
    "recipe",
    "teacher",
    "start",
    "model",
    "seeds",
    "contender",
    "unlabelled",
)
"""Keys of a variant that are no reduction settings."""
LIMITS = ("train", "validation", "test")
"""Keys of a set that limit its documents."""
LOGITS = "logits.safetensors"
"""A file of a run's folder: the logits of validation and test documents."""


def config_parser(*, sets: bool = True) -> argparse.ArgumentParser:
    """What every script that reads a config asks for; `sets`: it can do some of the data sets alone."""
    parser = argparse.ArgumentParser()
    parser.add_argument("config", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the data sets")
    if sets:
        parser.add_argument("--set", action="append", help="of a config with several data sets this one (repeatable)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    return parser


def configs_of(arguments: argparse.Namespace, others: Collection[str] = ()) -> dict[str, dict[str, Any]]:
    """The config as one for each data set, by the name of its results: those of "sets", or the one of "data".

    A set says how many documents of a split it has at most. It may have changes to the "recipe", as "variants" the
    names of those that are run, and as "pair_column" the column of its second texts.

    Args:
        arguments: of `config_parser`.
        others: sets that --set may name besides.

    Raises:
        SystemExit: --set names another one.
    """
    config, name = json.loads(arguments.config.read_text(encoding="utf-8")), arguments.config.stem
    sets = config.get("sets", {config.get("data"): {}})
    asked = chosen("--set", arguments.set, [*sets, *others])
    if "sets" not in config:
        return {name: config}
    common = {key: value for key, value in config.items() if key != "sets"}
    return {f"{name}-{data}": _of_set(data, given, common) for data, given in sets.items() if data in asked}


def chosen(option: str, asked: Collection[T] | None, known: Iterable[T]) -> list[T]:
    """Those of the known names that an option asks for, in their order; all, if it asks for none.

    Raises:
        SystemExit: one that is not known.
    """
    names = list(dict.fromkeys(known))
    if unknown := [own for own in asked or () if own not in names]:
        raise SystemExit(f"{option} {unknown[0]}: choose one of {', '.join(map(str, names))}")
    return [own for own in names if not asked or own in asked]


def _of_set(data: str, given: dict[str, Any], common: dict[str, Any]) -> dict[str, Any]:
    own = {key: value for key, value in given.items() if key not in LIMITS}
    if "recipe" in own:
        own["recipe"] = common["recipe"] | own["recipe"]
    if "variants" in own:
        own["variants"] = {variant: common["variants"][variant] for variant in own["variants"]}
    return {"data": data, "documents": {key: given[key] for key in LIMITS if key in given}} | common | own


def run_folder(name: str, variant: str, seed: int) -> Path:
    """Where a run leaves its classifier and its record."""
    return RUNS / name / f"{variant.replace(' ', '-')}-seed{seed}"


def splits_of(config: dict[str, Any], data: Path, unlabelled: int | None = None) -> DataSplits:
    """The documents of a config, at most as many of a split as "documents" says.

    Of the training documents that are left, `unlabelled` are taken without their labels, if their texts are in no other
    split. A set that is not in the data folder is one that worth_sets.py made.
    """
    folder = data / config["data"]
    whole = load_splits(folder if folder.exists() else DERIVED / config["data"], pair_column=config.get("pair_column"))
    splits = whole.limited(**config.get("documents", {}))
    if unlabelled is None:
        return splits
    known = {document.text for document in (*splits.train, *whole.validation, *whole.test)}
    left = tuple(replace(document, label=None) for document in whole.train if document.text not in known)
    return replace(splits, unlabelled=left).limited(unlabelled=unlabelled)


def settings_of(given: dict[str, Any]) -> ReductionConfig:
    """A variant's settings: a preset with "settings" in place of its, or fields; by the flat names of 0.1.0."""
    if "preset" in given:
        return changed(ReductionConfig.preset(given["preset"]), given.get("settings", {}))
    return from_flat({key: value for key, value in given.items() if key not in NO_SETTINGS})


def recipe_of(config: dict[str, Any], name: str, variant: str, seed: int) -> Recipe:
    """The config's recipe with the variant's changes.

    The teacher is another variant's run of the same seed. "bf16" is off on a processor that would have to emulate it.
    """
    given = config["variants"][variant]
    own = for_this_machine(given.get("recipe", {}))
    if "teacher" in given:
        own["teacher"] = str(run_folder(name, given["teacher"], seed))
    return Recipe.from_record(config["recipe"] | own | {"seed": seed})


def for_this_machine(recipe: dict[str, Any]) -> dict[str, Any]:
    """A recipe's fields, without bfloat16 on a processor that would have to emulate it."""
    return dict(recipe) if is_native(torch.bfloat16, torch.device("cpu")) else recipe | {"bf16": False}


def base_of(given: dict[str, Any], name: str = "", seed: int = 0) -> Path:
    """The checkpoint that a variant starts from, with the "layers" that it names.

    It is the default model, the folder of this checkout that "model" names, or the run of the variant that "start"
    names, of the same config and seed.

    Raises:
        SystemExit: the folder is not there, or "start" is given, too.
    """
    if "model" in given and "start" in given:
        raise SystemExit(f"start={given['start']!r} with model={given['model']!r}: a variant starts from one of them")
    whole = run_folder(name, given["start"], seed) if "start" in given else default_model_dir()
    if "model" in given:
        whole = ROOT / given["model"]
        if not (whole / "config.json").is_file():
            raise SystemExit(f"{whole}: no model is there: make it first (all-mpnet-base-v2: speed/mpnet_base.py)")
    return few_layers(whole, given["layers"], name) if "layers" in given else whole


def weights_digest(folder: Path) -> str:
    """SHA-256 of a classifier's weights, and of the bag of words ahead: it names what was made of them."""
    found = hashlib.sha256()
    for name in ("model.safetensors", "words.safetensors", "words_first.json"):
        if name == "model.safetensors" or (folder / name).is_file():
            found.update((folder / name).read_bytes())
    return found.hexdigest()


def few_layers(whole: Path, layers: list[int], name: str) -> Path:
    """A checkpoint with some of another one's layers, made where it is not there yet for the other one's weights."""
    origin = whole.name if whole.is_relative_to(ROOT) else "default"
    folder = RUNS / name / f"layers-{'-'.join(map(str, layers))}-of-{origin}-{weights_digest(whole)[:12]}"
    if (folder / "model.safetensors").is_file():
        return folder
    shutil.copytree(whole, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("model.safetensors", "*.md"))
    record = json.loads((whole / "config.json").read_text(encoding="utf-8"))
    record |= {"num_hidden_layers": len(layers)} | ({"second_norms": False} if "second_norms" in record else {})
    (folder / "config.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    weights, places = {}, {old: new for new, old in enumerate(layers)}
    for key, tensor in load_file(whole / "model.safetensors").items():
        if key.startswith("encoder.second_norms."):  # of a cascade of 0.1.0: norms of the second stage
            continue
        before, layer, after = key.partition("encoder.layer.")
        number, _, rest = after.partition(".")
        if not layer:
            weights[key] = tensor
        elif int(number) in places:
            weights[f"{before}{layer}{places[int(number)]}.{rest}"] = tensor
    part = folder / "model.safetensors.part"
    save_file(weights, part, {"format": "pt"})
    part.replace(folder / "model.safetensors")  # it tells that the folder is whole
    return folder
