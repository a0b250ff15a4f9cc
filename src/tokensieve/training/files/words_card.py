"""The model card of a bag of words alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, ModelCardData

from tokensieve.training.files.card import MOST_LABELS, TASK, public_name
from tokensieve.training.files.markdown import code, literal, table, visible
from tokensieve.training.files.output import CARD
from tokensieve.words import WordsClassifier


def write_words_card(folder: Path, words: WordsClassifier, record: Mapping[str, Any]) -> None:
    """Write README.md.

    Args:
        folder: of the classifier; its name, without ".part", is the card's title.
        words: fitted.
        record: as training.json has it.
    """
    name = folder.resolve().name.removesuffix(".part")
    data = ModelCardData(
        library_name="tokensieve",
        pipeline_tag=TASK,
        tags=["tokensieve", TASK, "bag-of-words"],
        model_name=visible(name),
    )
    text = "A text.", "The text beside it."
    example = f'("{text[0]}", "{text[1]}")' if words.pairs else f'"{text[0]}"'
    counts, settings = record["documents"], record["words"]["settings"]
    shown = [code(label) for label in words.labels[:MOST_LABELS]]
    more = f" and {len(words.labels) - MOST_LABELS} more" if len(words.labels) > MOST_LABELS else ""
    scores = [[key.replace("_", " "), f"{value:.4f}"] for key, value in (record["scores"] or {}).items()]
    parts = [
        f"# {code(name)}",
        f"A bag of words with no encoder: TF-IDF and logistic regression by scikit-learn, {record['words']['terms']} "
        f"terms. Gives a {'pair of texts' if words.pairs else 'document'} {'any' if words.multi_label else 'one'} of "
        f"{len(words.labels)} labels: {', '.join(shown)}{more}.",
        f"```python\nimport tokensieve  # pip install tokensieve\n\nclassifier = tokensieve.load({literal(name)})\n"
        f"classifier.predict([{example}])\n```",
        f"- Data: {code(public_name(str(record['data']))) if record['data'] else 'documents in memory'}, "
        f"{counts['train']} documents for training, {counts['validation']} for validation",
        table(["setting", "value"], [[code(key), code(value)] for key, value in settings.items()]),
    ]
    if scores:
        parts += ["On the validation documents, which chose these settings:", table(["measure", "validation"], scores)]
    parts.append(f"Made with {', '.join(f'{key} {value}' for key, value in record['versions'].items())}.")
    ModelCard(f"---\n{data.to_yaml()}\n---\n\n" + "\n\n".join(parts) + "\n").save(folder / CARD)
