"""The doors through which a folder of 0.1.0 answers. A name that a later version changes is changed here alone."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

import tokensieve
from support.packages import needed
from tokensieve.cascade.old import convert_adapter
from tokensieve.data import DataSplits, Document
from tokensieve.training.train import train as train_classifier

HERE = Path(__file__).parent / "0.1.0"
INPUTS: dict[str, Any] = json.loads((HERE / "inputs.json").read_text(encoding="utf-8"))
TEXTS: list[str] = INPUTS["texts"]
PAIRS: list[tuple[str, str]] = [(first, second) for first, second in INPUTS["pairs"]]
MODELS = sorted(folder.name for folder in (HERE / "models").iterdir())
TRAINED = ("trained", "estimator")
ORIGINS = {"lora": "paper-pfc-7", "lora-by-suffix": "fast-second-norms"}
"""Folders of adapters, and the models that they adapt."""


@dataclass(frozen=True)
class Answers:
    """What a door tells of all documents; None where it does not tell.

    Attributes:
        logits: [N, C] float32.
        probabilities: [N, C] float32, at the temperature of the folder.
        labels: names of the labels given.
        kept: tokens kept at each step.
        survivors: positions left.
        joined: for each of them the combination token that it joined; None without a combining module.
    """

    logits: Tensor | None = None
    probabilities: Tensor | None = None
    labels: list[list[str]] | None = None
    kept: list[list[int]] | None = None
    survivors: list[list[int]] | None = None
    joined: list[list[int] | None] | None = None

    def check(self, name: str) -> None:
        """Hold the answers to the recorded ones: logits to 1e-6, all that is decided exactly."""
        wanted = recorded(name)
        for what in ("logits", "probabilities"):
            if (own := getattr(self, what)) is not None:
                torch.testing.assert_close(own, getattr(wanted, what), atol=1e-6, rtol=0)
        for what in ("labels", "kept", "survivors", "joined"):
            if (own := getattr(self, what)) is not None:
                assert own == getattr(wanted, what), what


def record_of(name: str) -> dict[str, Any]:
    """The file of answers."""
    record: dict[str, Any] = json.loads((HERE / "answers" / f"{name}.json").read_text(encoding="utf-8"))
    return record


def recorded(name: str) -> Answers:
    """What 0.1.0 answered."""
    found = record_of(name)["documents"]
    columns: dict[str, Any] = {key: [document[key] for document in found] for key in found[0]}
    columns |= {key: torch.tensor(columns[key]) for key in ("logits", "probabilities")}
    return Answers(**columns)


def folder_of(name: str) -> Path:
    """The folder of a model, be it random or trained."""
    return HERE / ("trainings" if name.startswith(("trained", "estimator")) else "models") / name


def texts_of(name: str) -> list[Any]:
    """What a classifier is given: texts, or pairs of texts."""
    return list(PAIRS if name == "pairs" else TEXTS)


def batch_of(name: str) -> dict[str, Tensor]:
    """The recorded ids of all documents, padded on the right."""
    kind = "roberta" if "roberta" in name else name if name == "pairs" else "bert"
    rows: list[list[int]] = INPUTS["ids"][kind]
    width = max(map(len, rows))

    def padded(lists: list[list[int]], fill: int = 0) -> Tensor:
        return torch.tensor([[*row, *[fill] * (width - len(row))] for row in lists])

    batch = {"input_ids": padded(rows, kind == "roberta"), "attention_mask": padded([[1] * len(row) for row in rows])}
    return batch | ({"token_type_ids": padded(INPUTS["segments"])} if kind == "pairs" else {})


def by_load(folder: Path, name: str) -> Answers:
    """`tokensieve.load` and `results`."""
    classifier = tokensieve.load(folder, device="cpu")
    results = classifier.results(texts_of(name))
    return Answers(
        torch.tensor([result.logits for result in results]),
        torch.tensor([result.probabilities for result in results]),
        [[classifier.labels[number] for number in result.labels] for result in results],
        [list(result.kept) for result in results],
    )


def by_forward(model: Any, name: str) -> Answers:
    """One batch of the recorded ids through a model of transformers' kind, or an adapted one."""
    with torch.no_grad():
        output = model(**batch_of(name))
    traces = [output.trace[number] for number in range(len(output.logits))]
    joined = [trace.assignment for trace in traces]
    return Answers(
        logits=output.logits,
        kept=[list(trace.kept) for trace in traces],
        survivors=[trace.survivors for trace in traces],
        joined=[own and [own[place] for place in t.survivors] for own, t in zip(joined, traces, strict=True)],
    )


def by_auto_class(folder: Path, name: str) -> Answers:
    """transformers' Auto classes; the tokenizer gives the recorded ids."""
    texts, batch = texts_of(name), batch_of(name)
    given = [list(column) for column in zip(*texts, strict=True)] if name == "pairs" else [texts]
    found = AutoTokenizer.from_pretrained(folder)(*given, truncation=True, padding=True, return_tensors="pt")
    for key, wanted in batch.items():
        assert torch.equal(found[key], wanted), key
    return by_forward(AutoModelForSequenceClassification.from_pretrained(folder), name)


def by_pipeline(folder: Path, name: str) -> None:
    """transformers' pipeline gives the probabilities of the recorded logits; it knows no temperature."""
    classify = pipeline("text-classification", str(folder), device="cpu", top_k=None)
    names = tokensieve.load(folder, device="cpu").labels
    texts = [{"text": t[0], "text_pair": t[1]} if name == "pairs" else t for t in texts_of(name)]
    rows = [{own["label"]: own["score"] for own in found} for found in classify(texts, batch_size=8, truncation=True)]
    logits = recorded(name).logits
    assert logits is not None
    wanted = logits.sigmoid() if name.startswith("multi-label") else logits.softmax(-1)
    torch.testing.assert_close(torch.tensor([[row[own] for own in names] for row in rows]), wanted, atol=1e-6, rtol=0)


def settings_of(record: dict[str, Any]) -> Any:
    """Reduction settings of a record that 0.1.0 wrote."""
    return tokensieve.PTCConfig.from_dict(record)


def by_compress(name: str) -> Answers:
    """`compress` of the folder to the settings of the record."""
    record = record_of(name)
    model = tokensieve.compress(folder_of(record["origin"]), settings_of(record["settings"]))
    return by_forward(model.eval(), record["origin"])


def by_peft(name: str, folder: Path) -> Answers:
    """An adapter on the model that it was made for; one of a cascade is written anew for both stages, to `folder`."""
    peft = needed("peft")
    base, adapter = (
        AutoModelForSequenceClassification.from_pretrained(folder_of(ORIGINS[name])),
        HERE / "adapters" / name,
    )
    if isinstance(base, tokensieve.TokensieveCascadeForSequenceClassification):
        convert_adapter(adapter, folder)
        adapter = folder
    return by_forward(peft.PeftModel.from_pretrained(base, adapter).eval(), ORIGINS[name])


def load_estimator(folder: Path) -> Any:
    """The scikit-learn estimator of a folder."""
    return tokensieve.TokensieveClassifier.load(folder, device="cpu")


def train(base: Path, settings: Any, recipe: dict[str, Any], output: Path, **options: Any) -> dict[str, Any]:
    """A training as those of the fixtures: on their documents."""
    from compat.documents import labelled

    parts = labelled(96, seed=1), labelled(48, seed=2)
    rows = ([Document(text, label, "made up", line) for line, (text, label) in enumerate(part, 1)] for part in parts)
    own = tokensieve.Recipe.from_record(recipe)
    return train_classifier(base, settings, DataSplits(*map(tuple, rows)), output, own, progress=False, **options)
