"""Trained classifiers as a user would run them, from texts to labels: ours, and their dense one in other runtimes."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from tokensieve import compress, load
from tokensieve.backbones import BACKBONES
from tokensieve.backbones.loading import load_config
from tokensieve.cascade.fit_words import fit_words_first
from tokensieve.cascade.words_first import WordsFirst, WordsFirstSettings
from tokensieve.data import DataSplits
from tokensieve.data.tokenize import encode
from tokensieve.export.checkpoint import to_transformers
from tokensieve.model.classifier import TokensieveForSequenceClassification
from tokensieve.model.probabilities import best_temperature, confidence
from tokensieve.training.fits.bag import fit_bag, targets_of, texts_of
from tokensieve.training.recipe import Recipe
from tokensieve_bench.backbone import Backbone
from tokensieve_bench.rounds import time_interleaved
from tokensieve_bench.runs import LOGITS, run_folder
from tokensieve_bench.work import Batch, pad_batch

Answer = Callable[[list[Any]], list[Any]]
"""Texts -> a label for each."""
KIND = "single_label_classification"


class TrainedBackbone(Backbone):
    """A dense classifier of ours in transformers' code: the same weights and logits, float32, SDPA where it has that.

    Args:
        folder: of a dense classifier with mean pooling.
    """

    def __init__(self, folder: Path) -> None:
        self.name, self.seed, self.folder = folder.name, 0, folder
        self._folder = str(folder)
        self.ours: Any = load_config(folder)
        self.attention = BACKBONES[self.ours.family].attention

    @cached_property
    def model(self) -> PreTrainedModel:
        """The classifier, in eval mode. Its class is no one's of transformers, which have no mean."""
        ours: Any = load(self.folder, device="cpu").model
        made: Any = MeanPooled(ours).eval()
        return made  # type: ignore[no-any-return]


class MeanPooled(nn.Module):
    """transformers' encoder, and our head on the mean of its last states."""

    def __init__(self, ours: TokensieveForSequenceClassification) -> None:
        super().__init__()
        named = compress(ours, replace(ours.settings, pooling="pretrained"))  # their class has a head of this kind
        self.encoder = to_transformers(named).base_model
        self.classifier = nn.Linear(ours.config.hidden_size, len(ours.config.label_names))
        self.classifier.load_state_dict(copy.deepcopy(ours.head.classifier.state_dict()))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> SequenceClassifierOutput:
        """Logits [B, C] of ids and mask [B, L]."""
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask[..., None].to(states.dtype)
        return SequenceClassifierOutput(logits=self.classifier((states * mask).sum(1) / mask.sum(1)))


def padded(
    forward: Callable[[Batch], Tensor], tokenizer: Any, labels: tuple[str, ...], max_length: int, batch: int
) -> Answer:
    """Answers of a dense model: batches sorted by length, longest first, tokenizing included.

    Args:
        forward: a padded batch -> logits.
        tokenizer: of the model.
        labels: by class.
        max_length: texts are truncated to so many tokens.
        batch: documents side by side.
    """

    def answer(texts: list[Any]) -> list[Any]:
        ids = encode(tokenizer, texts, max_length).input_ids
        order = sorted(range(len(ids)), key=lambda row: -len(ids[row]))
        answers: list[Any] = [None] * len(ids)
        for first in range(0, len(order), batch):
            rows = order[first : first + batch]
            logits = forward(pad_batch([ids[row] for row in rows], rows, tokenizer.pad_token_id))
            for row, label in zip(rows, logits.argmax(1).tolist(), strict=True):
                answers[row] = labels[label]
        return answers

    return answer


def answer_seconds(contenders: Mapping[str, Answer], texts: list[Any], rounds: int) -> dict[str, list[float]]:
    """Seconds of each contender by round, of a pass over some texts."""
    return time_interleaved({own: partial(answer, texts) for own, answer in contenders.items()}, rounds)


def behind_words(rule: WordsFirstSettings, words: Tensor, encoder: Tensor) -> tuple[Tensor, Tensor]:
    """The documents that a bag of words defers, [N] bool, and the logits [N, C] of the whole.

    Args:
        rule: of the bag of words.
        words: its calibrated logits [N, C].
        encoder: those of the encoder behind it.
    """
    reads = confidence(words, KIND) < rule.defer_below
    return reads, torch.where(reads[:, None], rule.combined(words, encoder), words)


def cascade_folder(splits: DataSplits, name: str, seed: int, allowed: float, variant: str = "pruned") -> Path:
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
    folder = run.with_name(f"words-{variant}-{allowed:g}-seed{seed}")
    shutil.copytree(run, folder, dirs_exist_ok=True)
    if pruned:
        compress(run, replace(load_config(run).settings, defer=None)).save_pretrained(folder)
    words, truth = fit_bag(splits, Recipe()), torch.from_numpy(targets_of(splits, splits.validation))
    encoder = load_file(run / LOGITS)["validation.first" if pruned else "validation"]
    heat = best_temperature(encoder, truth, multi_label=False)
    texts = texts_of(splits.validation)
    first = torch.from_numpy(words.logits(texts)) / words.temperature
    wordless = torch.from_numpy(words.lacks_words(texts))
    fitted = fit_words_first(first, encoder / heat, truth, KIND, allowed, wordless=wordless)
    WordsFirst(words, fitted.settings).save(folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8")) | {"calibration_temperature": heat}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return folder
