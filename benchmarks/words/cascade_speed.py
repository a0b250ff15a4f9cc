"""Text to label: a cascade that begins with words, its stages, and transformers -> results/cascade/speed-<set>.json.

    python benchmarks/words/cascade_speed.py benchmarks/configs/accuracy/cascade.json --data DATA --threads 2

The classifiers are those of train.py's runs; the cascade is made of them as training makes it, by the validation
documents. All answer the same test documents, in turns, in one process with equal threads; a round is a pass over all
of them, from texts to labels. transformers' dense model has the same shape, with random weights, as speed does not
depend on them; the same length, fused attention (SDPA), inference mode, and batches of 32 sorted by length.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

from tokensieve import compress, load
from tokensieve.backbones.loading import load_config
from tokensieve.cascade.fit_words import fit_words_first
from tokensieve.cascade.words_first import WordsFirst
from tokensieve.model.probabilities import best_temperature
from tokensieve.training.fits.bag import fit_bag, targets_of, texts_of
from tokensieve.training.recipe import Recipe
from tokensieve_bench.machine import machine
from tokensieve_bench.places import RESULTS
from tokensieve_bench.runs import LOGITS, config_parser, configs_of, run_folder, splits_of
from tokensieve_bench.table import render

RIVAL = "transformers, SDPA, sorted"
CASCADES = {"cascade": "pruned", "words -> fast": "fast"}
"""The preset, and the same with the dense stage of `fast` behind."""
KIND = "single_label_classification"
BATCH = 32

Contender = Callable[[list[Any]], list[Any]]


def main() -> None:
    """Every set that has runs with logits, by its first seed."""
    parser = config_parser()
    parser.add_argument("--documents", type=int, default=512, help="the first of the test documents")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--allowed", type=float, default=0.5, help="points that the first stage may lose")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for name, config in configs_of(arguments).items():
        seeds = [seed for seed in config["seeds"] if (run_folder(name, "fast", seed) / LOGITS).is_file()]
        if seeds:
            record = measured(config, name, seeds[0], arguments)
            target = RESULTS / "cascade" / f"speed-{config['data']}.json"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
            print("\n".join(table(record)))


def measured(config: dict[str, Any], name: str, seed: int, arguments: Any) -> dict[str, Any]:
    """Seconds of each contender by round, and what it answered."""
    splits = splits_of(config, arguments.data)
    cascades = {
        own: cascade_folder(splits, name, seed, arguments.allowed, variant) for own, variant in CASCADES.items()
    }
    texts = texts_of(splits.test[: arguments.documents])
    truth = targets_of(splits, splits.test[: arguments.documents])
    dense, fast = (run_folder(name, variant, seed) for variant in ("dense", "fast"))
    classifiers = {"dense": load(dense, device="cpu"), "fast": load(fast, device="cpu")}
    classifiers |= {own: load(folder, device="cpu") for own, folder in cascades.items()}
    contenders: dict[str, Contender] = {RIVAL: of_transformers(dense, config["recipe"]["max_length"])}
    contenders |= {own: classifier.predict for own, classifier in classifiers.items()}
    words = classifiers["cascade"].engine.words_first
    assert words is not None
    contenders["words"] = lambda some: [words.words.labels[row] for row in words.words.predict(some)]
    seconds, answers = interleaved(contenders, texts, arguments.rounds)
    names = [splits.label_names[true] for true in truth]
    scores = {own: sum(map(str.__eq__, names, given)) / len(names) for own, given in answers.items()}
    stages = {own: [result.stage for result in classifiers[own].results(texts)] for own in CASCADES}
    return {
        "data": config["data"],
        "seed": seed,
        "documents": len(texts),
        "max_length": config["recipe"]["max_length"],
        "allowed": arguments.allowed,
        "stages": {
            own: {stage: found.count(stage) / len(found) for stage in classifiers[own].engine.stages}
            for own, found in stages.items()
        },
        "seconds": seconds,
        "accuracy": scores,
        "machine": machine(arguments.threads),
    }


def interleaved(
    contenders: dict[str, Contender], texts: list[Any], rounds: int
) -> tuple[dict[str, list[float]], dict[str, list[Any]]]:
    """Seconds of each contender by round, and its answers; all take turns, and one round more warms up."""
    seconds: dict[str, list[float]] = {own: [] for own in contenders}
    answers = {}
    for number in range(rounds + 1):
        for own, answer in contenders.items():
            start = time.perf_counter()
            answers[own] = answer(texts)
            if number:
                seconds[own].append(time.perf_counter() - start)
    return seconds, answers


def cascade_folder(splits: Any, name: str, seed: int, allowed: float, variant: str = "pruned") -> Path:
    """The folder of a run, with the bag of words ahead that training would put there.

    Args:
        splits: its documents.
        name: of the config.
        seed: of the run.
        allowed: points of accuracy that the first stage may lose.
        variant: of the config; or "pruned", the first stage of `fast` alone, as in the preset `cascade`.
    """
    pruned = variant == "pruned"
    run = run_folder(name, "fast" if pruned else variant, seed)
    folder = run.with_name(f"words-{variant}-seed{seed}")
    shutil.copytree(run, folder, dirs_exist_ok=True)
    if pruned:
        compress(run, replace(load_config(run).settings, defer=None)).save_pretrained(folder)
    words, truth = fit_bag(splits, Recipe()), torch.from_numpy(targets_of(splits, splits.validation))
    encoder = load_file(run / LOGITS)["validation.first" if pruned else "validation"]
    heat = best_temperature(encoder, truth, multi_label=False)
    first = torch.from_numpy(words.logits(texts_of(splits.validation))) / words.temperature
    fitted = fit_words_first(first, encoder / heat, truth, KIND, allowed)
    WordsFirst(words, fitted.settings).save(folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8")) | {"calibration_temperature": heat}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return folder


def of_transformers(folder: Path, max_length: int) -> Contender:
    """transformers' own BERT in the shape of a run's model, with random weights."""
    ours = load(folder, device="cpu").model
    sizes = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size")
    config = BertConfig(
        **{size: getattr(ours.config, size) for size in sizes},
        max_position_embeddings=ours.config.max_position_embeddings,
        num_labels=len(ours.config.label_names),
    )
    config._attn_implementation = "sdpa"
    model = BertForSequenceClassification(config).eval()
    labels, tokenizer = ours.config.label_names, AutoTokenizer.from_pretrained(folder)

    @torch.inference_mode()
    def answer(texts: list[Any]) -> list[Any]:
        ids = tokenizer(texts, truncation=True, max_length=max_length)["input_ids"]
        order = sorted(range(len(ids)), key=lambda row: len(ids[row]))
        answers: list[Any] = [None] * len(ids)
        for first in range(0, len(order), BATCH):
            rows = order[first : first + BATCH]
            batch = tokenizer.pad({"input_ids": [ids[row] for row in rows]}, return_tensors="pt")
            for row, label in zip(rows, model(**batch).logits.argmax(1).tolist(), strict=True):
                answers[row] = labels[label]
        return answers

    return answer


def table(record: dict[str, Any]) -> list[str]:
    """A row a contender: documents per second, times the rival by paired rounds, accuracy."""
    rows = [["", "documents/s", f"times {RIVAL}", "accuracy"]]
    for name, own in record["seconds"].items():
        ratios = sorted(rival / mine for rival, mine in zip(record["seconds"][RIVAL], own, strict=True))
        told = f"{median(ratios):.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})"
        score = "" if name == RIVAL else f"{record['accuracy'][name]:.4f}"
        rows.append([name, f"{record['documents'] / median(own):.1f}", told, score])
    told = [
        f"{own}: answered by {', '.join(f'{stage} {share:.1%}' for stage, share in stages.items())}"
        for own, stages in record["stages"].items()
    ]
    head = f"{record['data']}, seed {record['seed']}, {record['documents']} documents"
    return [head, *told, *render(rows, "plain"), ""]


if __name__ == "__main__":
    main()
