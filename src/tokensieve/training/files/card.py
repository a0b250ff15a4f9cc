"""The model card, README.md: what the classifier is, how to use it, how it was made, and its scores.

The text is card.md.jinja; this module computes what goes into it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tokensieve.cascade.build import EncoderClassifier
from tokensieve.config import ReductionConfig
from tokensieve.methods import METHODS
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.model.plan import Plan
from tokensieve.settings_paths import assignments_of
from tokensieve.training.files.markdown import code, fenced, literal, table, visible
from tokensieve.training.files.reproduce import EMBEDDED_CORPUS, IN_MEMORY, train_command
from tokensieve.training.floors.report import NAMES as FLOOR_NAMES
from tokensieve.training.old import record_today

TASK = "text-classification"
METRICS = {"accuracy": "accuracy", "f1_macro": "macro F1", "f1_micro": "micro F1"}
MOST_LABELS = 200
"""Rows of the table of labels."""


def write_card(folder: Path, model: EncoderClassifier, record: Mapping[str, Any]) -> None:
    """Write README.md.

    Args:
        folder: of the classifier; its name, without ".part", is the card's title.
        model: trained and calibrated.
        record: as training.json has it, now or in version 0.1.0. Five entries may be missing: `pairs` (whether
            documents are pairs of texts), `reading` (how the command read the data, see
            `tokensieve.training.files.reproduce.READING`), `base_is_folder` (without it, a base with a slash in it is
            taken for the name of a model on the hub), `started_from` and `head_refit`.
    """
    name = folder.resolve().name.removesuffix(".part")
    record = record_today(record)
    record = {**record, "data": public_name(str(record["data"])), "base": public_name(str(record["base"]))}
    earlier = record.get("started_from")
    record["started_from"] = earlier and {**earlier, "base": public_name(str(earlier["base"]))}
    data = front_matter(name, model.config.settings, record)
    ModelCard(f"---\n{data.to_yaml()}\n---\n\n{card_text(name, model, record)}").save(folder / "README.md")


def public_name(name: str) -> str:
    """The last part of a path that tells of this machine; any other name as it is."""
    absolute = name.startswith("~") or PurePosixPath(name).is_absolute() or PureWindowsPath(name).is_absolute()
    return PureWindowsPath(name).name if absolute else name


def front_matter(name: str, settings: ReductionConfig, record: Mapping[str, Any]) -> ModelCardData:
    """What the hub reads: kind, origin and validation scores. No licence, as none is known."""
    data = visible(record["data"]) or "documents in memory"
    on_hub = re.fullmatch(r"(\w[\w.-]*/[\w.-]+)(:.+)?", data)
    tags = {"token-pruning": settings.prune is not None, "token-combining": settings.combine is not None}
    results = [
        EvalResult(
            task_type=TASK,
            dataset_type=on_hub[1] if on_hub else data,
            dataset_name=data,
            dataset_split="validation",
            metric_type=metric.partition("_")[0],
            metric_name=f"{METRICS[metric]} on the documents that the epoch was chosen on",
            metric_args={"average": metric.partition("_")[2]} if "_" in metric else None,
            metric_value=round(value, 4),
        )
        for metric, value in scores(record).items()
    ]
    return ModelCardData(
        library_name="tokensieve",
        pipeline_tag=TASK,
        base_model=None if record.get("base_is_folder", "/" not in record["base"]) else record["base"],
        datasets=[on_hub[1]] if on_hub else None,
        tags=["tokensieve", TASK, *(tag for tag, applies in tags.items() if applies)],
        metrics=["accuracy", "f1"] if results else None,
        model_name=visible(name),
        eval_results=results or None,
    )


def scores(record: Mapping[str, Any]) -> dict[str, float]:
    """Validation scores of the epoch that was kept; empty without validation. Of one label, micro F1 is accuracy."""
    wanted = [metric for metric in METRICS if metric != "f1_micro" or record["multi_label"]]
    best = record["best"] or {}
    return {metric: best[f"eval_{metric}"] for metric in wanted if f"eval_{metric}" in best}


def card_text(name: str, model: EncoderClassifier, record: Mapping[str, Any]) -> str:
    """The card below its front matter."""
    config, settings = model.config, model.settings
    longest = config.truncation_length()
    mean = min(max(1, round(record["mean_length"])), longest)
    plans = {"mean training document": model.plan(mean), "longest document": model.plan(longest)}
    exact_match = {"accuracy": "exact match (all labels right)"} if record["multi_label"] else {}
    measured = {(METRICS | exact_match)[metric]: value for metric, value in scores(record).items()}
    recipe = record["recipe"]
    facts = {
        "name": name,
        "record": record,
        "config": config,
        "settings": settings,
        "prunes": settings.prune is not None,
        "source": source_of(settings, recipe),
        "combine_step": config.settings.before(config.num_hidden_layers) + 1,
        "multi_label": record["multi_label"],
        "pairs": bool(record.get("pairs") or (record.get("reading") or {}).get("pair_column")),
        "data": None if record["data"] in IN_MEMORY else record["data"],
        "longest": longest,
        "labels": config.label_names,
        "most_labels": MOST_LABELS,
        "label_table": label_table(config),
        "recipe_table": settings_table(recipe, without=unused_in_recipe(recipe)),
        "reduction_table": settings_table(by_path(settings), without=()),
        "plan_table": plan_table(plans),
        "bounds": any(plan.basis == "bounds" for plan in plans.values()),
        "select": METRICS.get(recipe["select"], recipe["select"]),
        "floors": record.get("floors"),
        "floor_table": floor_table(record.get("floors")),
        "words_first_table": words_first_table(record.get("words_first")),
        "score_table": score_table(measured, record),
        "command": train_command(record, name, config.num_hidden_layers),
        "reading_known": record.get("reading") is not None or record["data"] == EMBEDDED_CORPUS,
    }
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"code": code, "literal": literal}
    text = environment.get_template("card.md.jinja").render(facts, fenced=fenced)
    return re.sub(r"\n{3,}", "\n\n", text)


def floor_table(floors: Mapping[str, Any] | None) -> str:
    """The encoder and each floor: score, difference with its interval, speed; empty without floors."""
    if floors is None or "why_none" in floors:
        return ""
    rows = []
    for name, title in {**FLOOR_NAMES, "encoder": "this classifier"}.items():
        floor = floors.get(name)
        if floor is None:
            continue
        if "why_none" in floor:
            rows.append([title, f"none: {code(floor['why_none'])}", "", ""])
            continue
        difference = ""
        if "interval" in floor:
            low, high = (f"{100 * end:.1f}" for end in floor["interval"])
            difference = f"{100 * floor['difference']:+.1f} [{low}, {high}]"
        score = "" if floor["score"] is None else f"{floor['score']:.4f}"
        rows.append([title, score, difference, f"{floor['documents_per_second']:.0f}"])
    metric = METRICS[floors["metric"]]
    return table(["classifier", metric, "against this one, points [95 %]", "documents/s"], rows)


def label_table(config: TokensieveConfig) -> str:
    """Ids and names of the labels, with their thresholds where there are any."""
    names, multi_label = config.label_names[:MOST_LABELS], config.is_multi_label
    thresholds = config.thresholds or [0.5] * len(names)
    head = ["id", "label", *["threshold"] * multi_label]
    return table(head, [[i, code(name), *[f"{thresholds[i]:.4f}"] * multi_label] for i, name in enumerate(names)])


def unused_in_recipe(recipe: Mapping[str, Any]) -> tuple[str, ...]:
    """The beginnings of names of fields without effect: of LoRA, distillation and gates that the recipe leaves out."""
    parts = {"lora_": "lora_rank", "distill_": "teacher", "feature_": "feature_epochs", "gate_": "gate_epochs"}
    return tuple(start for start, needed in parts.items() if not recipe.get(needed))


_OF_THE_METHOD = ("length_drop", "gate_epochs")
"""Fields of a recipe that make a method what it is: the same cells trained without them are another one."""


def source_of(settings: ReductionConfig, recipe: Mapping[str, Any]) -> str | None:
    """The source of a method, as its row of METHODS names it: the row has cells of the same kinds, trained alike.

    A row whose cells have the same settings, too, comes first. None: there is no row.
    """
    wanted = _cells(settings)
    rows = [
        method
        for method in METHODS.values()
        if list(map(type, _cells(method.settings))) == list(map(type, wanted))
        and all(recipe.get(name) for name in _OF_THE_METHOD if method.recipe.get(name))
    ]
    same = [method for method in rows if _cells(method.settings) == wanted]
    return next((method.source for method in (*same, *rows)), None)


def _cells(settings: ReductionConfig) -> tuple[Any, ...]:
    """The cells but the schedule, with selections as they are once their gates have learned."""
    prune = settings.prune
    parts = () if prune is None else (prune.score, prune.select.learned, prune.site, prune.merge)
    return (*parts, settings.combine)


def by_path(settings: ReductionConfig) -> dict[str, Any]:
    """The settings by dotted path, as `--set` takes them."""
    record = {name: value for name, value in settings.to_dict().items() if name != "format_version"}
    return {assignment.name: assignment.value for assignment in assignments_of(record)}


def words_first_table(report: Mapping[str, Any] | None) -> str:
    """The score of the whole beside that of each part alone; empty without a bag of words ahead."""
    if report is None:
        return ""
    rows = [["the whole", f"{report['score']:.4f}", ""]]
    for name, part in (("encoder", "the encoder alone"), ("words", "the bag of words alone")):
        low, high = report[f"interval_to_{name}"]
        more = f"{100 * report[f'difference_to_{name}']:+.1f} [{100 * low:.1f}, {100 * high:.1f}]"
        rows.append([part, f"{report[f'{name}_score']:.4f}", more])
    return table(["", report["metric"].replace("_", " "), "the whole has more, points [95 %]"], rows)


def settings_table(settings: Mapping[str, Any], without: tuple[str, ...]) -> str:
    """Names and values, except those without a value and those that begin with one of `without`."""
    rows = [
        [code(name), code(", ".join(map(str, value)) if isinstance(value, (list, tuple)) else value)]
        for name, value in settings.items()
        if value is not None and not name.startswith(without or ("\n",))
    ]
    return table(["setting", "value"], rows)


def plan_table(plans: Mapping[str, Plan]) -> str:
    """Tokens kept and FLOPs for each document length."""
    rows = []
    for name, plan in plans.items():
        most = "at most " if plan.basis == "bounds" else ""
        kept = most + " ".join(f"{count:g}" for count in plan.kept_tokens)
        share = f"{most}{plan.ratio:.3f}"
        rows.append([name, plan.length, kept, f"{plan.flops / 1e9:.4g}", f"{plan.dense_flops / 1e9:.4g}", share])
    return table(["document", "tokens", "tokens kept, step by step", "GFLOPs", "GFLOPs, dense", "share of dense"], rows)


def score_table(measured: Mapping[str, float], record: Mapping[str, Any]) -> str:
    """Scores and the loss; empty without validation."""
    if not record["best"]:
        return ""
    rows = {**measured, "loss": record["best"]["eval_loss"]}
    return table(["measure", "validation"], [[name, f"{value:.4f}"] for name, value in rows.items()])
