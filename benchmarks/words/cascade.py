"""Cascades that begin with a bag of words, composed of the runs of train.py -> results/<config>/<set>/.

    python benchmarks/accuracy/train.py benchmarks/configs/accuracy/cascade.json --data DATA --threads 2
    python benchmarks/words/cascade.py benchmarks/configs/accuracy/cascade.json --data DATA

Nothing is trained but the bag of words. The logits of every stage on all validation and test documents lie beside the
record (`stage_logits.py`). A seed whose runs are not here is composed of these, so that seeds that were trained on
several machines come together. What is fitted, is fitted to validation documents, by the code that training runs. Rules
are compared on validation documents; the figures of the test documents stand beside them and choose nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from stage_logits import MADE_BY, fingerprint, has_stages, read_stages, write_stages
from torch import Tensor

from tokensieve.cascade.fit_words import FOLDS, cross_fitted, fit_words_first, fusion_weights
from tokensieve.model.probabilities import best_temperature, confidence
from tokensieve.training.fits.bag import fit_bag, targets_of, texts_of
from tokensieve.training.recipe import Recipe
from tokensieve_bench.machine import machine
from tokensieve_bench.places import COMPOSED, RESULTS
from tokensieve_bench.record_files import write_record
from tokensieve_bench.runs import LOGITS, chosen, config_parser, configs_of, run_folder, splits_of
from tokensieve_bench.trained import KIND, behind_words

ENCODERS = ("dense", "fast", "pruned")
"""Runs, and the first stage of `fast` alone."""
STAGES = ("words", *ENCODERS)
ALLOWED = (0.0, 0.1, 0.25, 0.5, 1.0)
"""Points of accuracy that the first stage may be expected to lose."""
TOLD = (0.25, 0.5)
"""The record has the answers of these; those of the others follow from the logits."""
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)
"""Shares of documents that the encoder reads, at which rules are compared."""


def main() -> None:
    """Every set that has runs with logits, or the logits that these left."""
    arguments = config_parser().parse_args()
    chosen("config", [arguments.config.stem], COMPOSED)  # others have records of another kind under their names
    torch.set_num_threads(arguments.threads)
    for name, config in configs_of(arguments).items():
        folder = RESULTS / arguments.config.stem / config["data"]
        if seeds := seeds_of(config, name, folder):
            record = composed(config, name, seeds, arguments.data, folder)
            write_record(folder, record | {"machine": machine(arguments.threads)})


def seeds_of(config: dict[str, Any], name: str, folder: Path) -> list[int]:
    """The seeds of a config that were trained here, or whose logits are in the folder."""
    return [seed for seed in config["seeds"] if was_run(name, seed) or has_stages(folder, seed, STAGES)]


def was_run(name: str, seed: int) -> bool:
    """Whether a seed was trained here."""
    return (run_folder(name, "fast", seed) / LOGITS).is_file()


def composed(config: dict[str, Any], name: str, seeds: list[int], data: Path, folder: Path) -> dict[str, Any]:
    """The record of a set; writes the logits of the seeds that were trained here to the folder.

    Raises:
        SystemExit: the logits of another seed were made of other documents, or by other settings.
    """
    splits = splits_of(config, data)
    words = fit_bag(splits, Recipe(floors="none"))
    parts = {"validation": splits.validation, "test": splits.test}
    first = {
        split: torch.from_numpy(words.logits(texts_of(documents))) / words.temperature
        for split, documents in parts.items()
    }
    truth = {split: torch.from_numpy(targets_of(splits, documents)) for split, documents in parts.items()}
    classes = {split: own.tolist() for split, own in truth.items()}
    made_of = fingerprint(config, classes)
    elsewhere = [seed for seed in seeds if not was_run(name, seed)]
    logits = {seed: read_stages(folder, seed, STAGES, made_of) for seed in elsewhere}
    for seed in seeds:
        if seed not in elsewhere:
            logits[seed] = {"words": first} | {own: calibrated(name, own, seed, truth) for own in ENCODERS}
            write_stages(folder, seed, logits[seed], made_of)
    return {
        "config": {key: config.get(key) for key in MADE_BY},
        "words": {"settings": words.settings.to_dict(), "terms": len(words.weights), "temperature": words.temperature},
        "documents": {"train": len(splits.train)} | {split: len(own) for split, own in parts.items()},
        "labels": list(splits.label_names),
        "truth": classes,
        "runs": [{"seed": seed, **of_seed(logits[seed], truth)} for seed in seeds],
    }


def calibrated(name: str, variant: str, seed: int, truth: dict[str, Tensor]) -> dict[str, Tensor]:
    """Logits of a run by split, divided by the temperature that the validation documents give."""
    own = load_file(run_folder(name, "fast" if variant == "pruned" else variant, seed) / LOGITS)
    if variant == "pruned":
        own = {split: own[f"{split}.first"] for split in truth}
    heat = best_temperature(own["validation"], truth["validation"], multi_label=False)
    return {split: own[split] / heat for split in truth}


def of_seed(logits: dict[str, dict[str, Tensor]], truth: dict[str, Tensor]) -> dict[str, Any]:
    """Scores and answers of each stage and cascade."""
    alone = {stage: {split: accuracy(own[split], truth[split]) for split in truth} for stage, own in logits.items()}
    predicted = {stage: own["test"].argmax(1).tolist() for stage, own in logits.items()}
    cascades: dict[str, Any] = {}
    for encoder in ENCODERS:
        for allowed in ALLOWED:
            whole = cascade(logits["words"], logits[encoder], truth, allowed)
            answers = whole.pop("predicted")
            if allowed in TOLD:
                predicted[f"words -> {encoder}, {allowed:g}"] = answers
            cascades[f"words -> {encoder}, {allowed:g}"] = whole
    rules = {encoder: at_equal_cost(logits["words"], logits[encoder], truth) for encoder in ENCODERS}
    return {"alone": alone, "cascades": cascades, "at equal cost": rules, "predicted": predicted}


def cascade(words: dict[str, Tensor], encoder: dict[str, Tensor], truth: dict[str, Tensor], allowed: float) -> Any:
    """A cascade as training fits it: shares and scores on both splits, and its answers to the test documents."""
    fitted = fit_words_first(words["validation"], encoder["validation"], truth["validation"], KIND, allowed)
    reads, answers = behind_words(fitted.settings, words["test"], encoder["test"])
    return {
        "settings": {
            "defer_below": fitted.settings.defer_below,
            "words_weight": fitted.settings.words_weight,
            "encoder_weight": fitted.settings.encoder_weight,
        },
        "expected_loss": fitted.expected_loss,
        "share": {"validation": fitted.share, "test": float(reads.double().mean())},
        "accuracy": {
            "validation": accuracy(fitted.logits, truth["validation"]),
            "test": accuracy(answers, truth["test"]),
        },
        "predicted": answers.argmax(1).tolist(),
    }


def at_equal_cost(words: dict[str, Tensor], encoder: dict[str, Tensor], truth: dict[str, Tensor]) -> dict[str, Any]:
    """Accuracy by rule, split and share of the documents that the encoder reads."""
    weights = torch.tensor(fusion_weights(parts_of(words, encoder, "validation"), truth["validation"], KIND)).double()
    both = {
        "validation": cross_fitted(parts_of(words, encoder, "validation"), truth["validation"], KIND),
        "test": torch.tensordot(weights, parts_of(words, encoder, "test"), 1),
    }
    learned = learned_gain(words, both, truth)
    rules = {
        "encoder alone, by confidence": (encoder, {split: -confidence(words[split], KIND) for split in truth}),
        "combined, by confidence": (both, {split: -confidence(words[split], KIND) for split in truth}),
        "combined, by a learned rule": (both, learned),
    }
    return {
        rule: {
            split: {
                f"{share:g}": read_first(words[split], answers[split], truth[split], order[split], share)
                for share in SHARES
            }
            for split in truth
        }
        for rule, (answers, order) in rules.items()
    }


def read_first(words: Tensor, answers: Tensor, truth: Tensor, order: Tensor, share: float) -> float:
    """Accuracy if this share of the documents, those of the highest order, gets the other answers."""
    read = order.argsort(descending=True, stable=True)[: round(share * len(order))]
    whole = words.clone().double()
    whole[read] = answers[read].double()
    return accuracy(whole, truth)


def learned_gain(words: dict[str, Tensor], both: dict[str, Tensor], truth: dict[str, Tensor]) -> dict[str, Tensor]:
    """What the combined answer is expected to gain: the difference of two logistic regressions on what the bag of words
    says, which tell whether either answer is right; of validation documents cross-fitted.
    """
    from sklearn.linear_model import LogisticRegression

    features = {split: described(words[split]) for split in truth}
    known, true = features["validation"], truth["validation"]
    right = [(own["validation"].argmax(1) == true).long().numpy() for own in (both, words)]

    def gain(rows: np.ndarray, wanted: np.ndarray) -> Tensor:
        sides = []
        for own in right:
            if len(set(own[rows].tolist())) < 2:
                sides.append(np.full(len(wanted), own[rows].mean()))
                continue
            sides.append(LogisticRegression(C=1.0).fit(known[rows], own[rows]).predict_proba(wanted)[:, 1])
        return torch.from_numpy(sides[0] - sides[1])

    fold = np.random.default_rng(0).permutation(len(true)) % FOLDS
    crossed = torch.zeros(len(true), dtype=torch.float64)
    for own in range(FOLDS):
        crossed[fold == own] = gain(fold != own, known[fold == own]).double()
    return {"validation": crossed, "test": gain(np.arange(len(true)), features["test"])}


def described(words: Tensor) -> np.ndarray:
    """Three numbers a document, [N, 3]: lead of the first class in logits, logit of the confidence, entropy."""
    best, second = words.topk(2, dim=1).values.T
    probabilities = words.double().softmax(1)
    entropy = -(probabilities * probabilities.clamp(min=1e-12).log()).sum(1)
    sure = probabilities.max(1).values.clamp(max=1 - 1e-9)
    found: np.ndarray = torch.stack([(best - second).double(), (sure / (1 - sure)).log(), entropy], 1).numpy()
    return found


def parts_of(words: dict[str, Tensor], encoder: dict[str, Tensor], split: str) -> Tensor:
    """Logits [2, N, C] of both."""
    return torch.stack([words[split], encoder[split]]).double()


def accuracy(logits: Tensor, truth: Tensor) -> float:
    """Share of the documents whose largest logit is the true class's."""
    return float((logits.argmax(1) == truth).double().mean())


if __name__ == "__main__":
    main()
