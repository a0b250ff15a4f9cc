"""Make the fixtures of 0.1.0 anew: model folders, an adapter, an estimator, trainings, and what 0.1.0 answers.

Run with tokensieve 0.1.0 and no later version, from the repository's root, on one thread:

    OMP_NUM_THREADS=1 PYTHONPATH=<checkout of 0.1.0>/src:tests python -m compat.make tests/compat/0.1.0

Weights are random and large, so that documents get different labels and keep different tokens. A draw is taken only
where nothing hangs by a rounding error: weights that differ by 1e-5 keep the same tokens and give the same labels, and
float64 gives the same logits to 4e-7. Another processor, whose sums have another order, then stays within 1e-6.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor

import tokensieve
from compat import documents, recipes, trainings
from compat.build import build, forward
from tokensieve import TokensieveForSequenceClassification, compress, lora_config
from tokensieve.data.tokenize import encode
from tokensieve.model.probabilities import class_probabilities

NOISE, ROUNDING = 1e-5, 4e-7


def main(target: Path) -> None:
    """Write everything below `target`, which must not be there."""
    if tokensieve.__version__ != "0.1.0":
        raise SystemExit(
            f"these are fixtures of 0.1.0, and this is {tokensieve.__version__}: run with a 0.1.0 checkout"
        )
    torch.set_num_threads(1)
    (target / "answers").mkdir(parents=True)
    write_inputs(target / "inputs.json")
    for name, recipe in recipes.MODELS.items():
        model, tokenizer = drawn(name, recipe)
        save(target / "models" / name, model, tokenizer)
        write_answers(target, name, answers(model, tokenizer, is_pair(recipe)), model)
        check_engine(target / "models" / name, target / "answers" / f"{name}.json", is_pair(recipe))
    for name, (origin, changes) in recipes.SETTINGS_ANEW.items():
        folder = target / "models" / origin
        own = tokensieve.load(folder, device="cpu")
        model = compress(folder, own.model.settings.changed(**changes)).eval()
        write_answers(target, name, answers(model, own.engine.tokenizer), model, origin=origin)
    adapter(target, "lora", "paper-pfc-7", lambda model: lora_config(model, 2))
    suffixes = {"task_type": "SEQ_CLS", "r": 2, "target_modules": ["query", "value"]}
    adapter(target, "lora-by-suffix", "fast-second-norms", lambda _: LoraConfig(**suffixes))
    trainings.make(target)


def write_inputs(path: Path) -> None:
    """Texts and pairs of texts, and their ids by tokenizer."""
    texts, pairs = documents.texts(), documents.pairs()
    record: dict[str, Any] = {"longest": documents.POSITIONS, "texts": texts, "pairs": pairs, "ids": {}}
    for name, names in (("bert", documents.BERT), ("roberta", documents.ROBERTA)):
        record["ids"][name] = encode(documents.tokenizer(names), texts, documents.POSITIONS).input_ids
    found = encode(documents.tokenizer(), [a for a, _ in pairs], documents.POSITIONS, [b for _, b in pairs])
    record["ids"]["pairs"], record["segments"] = found.input_ids, found.token_type_ids
    write_json(path, record)


def is_pair(recipe: dict[str, Any]) -> bool:
    return bool(recipe.get("config", {}).get("text_pairs"))


def drawn(name: str, recipe: dict[str, Any]) -> tuple[TokensieveForSequenceClassification, Any]:
    """The first draw in which documents differ and nothing hangs by a rounding error."""
    names, segments = (documents.ROBERTA, False) if "roberta" in name else (documents.BERT, name != "distilbert")
    tokenizer = documents.tokenizer(names, segments)
    changes = [given for origin, given in recipes.SETTINGS_ANEW.values() if origin == name]
    for seed in range(1000):
        torch.manual_seed(seed)
        model = build(recipe, tokenizer)
        found = answers(model, tokenizer, is_pair(recipe))
        anew = (compress(model, model.settings.changed(**given), tokenizer=tokenizer) for given in changes)
        if (
            varied(found, model)
            and steady(found, model, tokenizer, is_pair(recipe))
            and all(steady(answers(own, tokenizer), own, tokenizer) for own in anew)
        ):
            print(f"{name}: draw {seed}", file=sys.stderr)
            return model, tokenizer
    raise SystemExit(f"{name}: no draw will do")


def answers(model: Any, tokenizer: Any, paired: bool = False) -> list[dict[str, Any]]:
    """What each document gets: logits, probabilities, labels, counts by step, positions left, and whom they joined."""
    config, output = model.config, forward(model, tokenizer, paired)
    probabilities = class_probabilities(output.logits, config.problem_type, config.calibration_temperature)
    survivors, joined = output.trace.survivors(), output.trace.assignments()
    found = []
    for i, (logits, row) in enumerate(zip(output.logits, probabilities, strict=True)):
        given = [int(row.argmax())]
        if config.is_multi_label:
            given = [n for n, (p, least) in enumerate(zip(row.tolist(), config.thresholds, strict=True)) if p >= least]
        found.append(
            {
                "logits": short(logits),
                "probabilities": short(row),
                "labels": [config.label_names[number] for number in given],
                "kept": [step[i] for step in output.trace.kept],
                "survivors": survivors[i],
                "joined": None if joined is None else [joined[i][place] for place in survivors[i]],
            }
        )
    return found


def short(values: Tensor) -> list[float]:
    """In as few digits as tell a float32."""
    return [float(str(value)) for value in values.numpy().astype(np.float32)]


def varied(found: list[dict[str, Any]], model: TokensieveForSequenceClassification) -> bool:
    """Whether each label is given to some documents and not to others, and tokens leave where some are to."""
    labels = Counter(label for document in found for label in document["labels"])
    if not all(4 <= labels[name] <= len(found) - 4 for name in model.config.label_names):
        return False
    if model.settings.pruning == "none":
        return True
    gone = [document["survivors"] for document in found if document["survivors"] != [*range(document["kept"][0])]]
    return len(gone) >= 8


def steady(found: list[dict[str, Any]], model: Any, tokenizer: Any, paired: bool = False) -> bool:
    """Whether logits are nearly exact, and all that is decided stays when the weights move a little."""
    told = ("labels", "kept", "survivors", "joined")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    exact = forward(model.double(), tokenizer, paired).logits
    model.float().load_state_dict(before)
    if (exact - torch.tensor([own["logits"] for own in found])).abs().max() > ROUNDING:
        return False
    with torch.no_grad():
        for _ in range(6):
            model.load_state_dict({name: own * (1 + NOISE * torch.randn_like(own)) for name, own in before.items()})
            moved = answers(model, tokenizer, paired)
            if any(one[name] != other[name] for one, other in zip(found, moved, strict=True) for name in told):
                break
        else:
            model.load_state_dict(before)
            return True
    return False


def save(folder: Path, model: TokensieveForSequenceClassification, tokenizer: Any) -> None:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def write_answers(
    target: Path, name: str, found: list[dict[str, Any]], model: Any, *, origin: str | None = None
) -> None:
    """A record with a line for each document."""
    head = {"made_with": trainings.versions(), "settings": model.config.ptc}
    if origin is None:
        plan = model.plan(100)
        head["plan"] = {"length": 100, "kept": plan.kept_tokens, "flops": plan.flops, "dense_flops": plan.dense_flops}
    else:
        head["origin"] = origin
    write_json(target / "answers" / f"{name}.json", {**head, "documents": found})


def write_json(path: Path, record: dict[str, Any]) -> None:
    """JSON in which each item of a long list has a line."""
    lines = []
    for key, value in record.items():
        text = json.dumps(value)
        if isinstance(value, list):
            text = "[\n" + ",\n".join(json.dumps(item, separators=(",", ":")) for item in value) + "\n]"
        lines.append(f"{json.dumps(key)}: {text}")
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def check_engine(folder: Path, file: Path, paired: bool) -> None:
    """The engine says what the model says."""
    classifier = tokensieve.load(folder, device="cpu")
    wanted = json.loads(file.read_text(encoding="utf-8"))["documents"]
    for result, own in zip(classifier.results(documents.pairs() if paired else documents.texts()), wanted, strict=True):
        np.testing.assert_allclose(result.logits, own["logits"], atol=1e-6, rtol=0)
        assert list(result.kept) == own["kept"]
        assert [classifier.labels[number] for number in result.labels] == own["labels"]


def adapter(target: Path, name: str, base: str, config_of: Any) -> None:
    """A LoRA adapter whose second half is not zero, in a folder of its own beside the models."""
    tokenizer = documents.tokenizer()
    for seed in range(1000):
        torch.manual_seed(seed)
        model = TokensieveForSequenceClassification.from_pretrained(target / "models" / base)
        wrapped: PeftModel = get_peft_model(model, config_of(model)).eval()
        with torch.no_grad():
            for key, parameter in wrapped.named_parameters():
                if "lora_B" in key:
                    parameter.normal_(std=0.2)
                elif parameter.requires_grad and "lora_A" not in key:
                    parameter.add_(torch.randn_like(parameter), alpha=0.1)
        found = answers(wrapped, tokenizer)
        if varied(found, model) and steady(found, wrapped, tokenizer):
            print(f"{name}: draw {seed}", file=sys.stderr)
            break
    else:
        raise SystemExit(f"{name}: no draw will do")
    folder = target / "adapters" / name
    wrapped.peft_config["default"].base_model_name_or_path = f"../../models/{base}"
    wrapped.save_pretrained(folder)
    (folder / "README.md").unlink()  # PEFT's empty card
    write_answers(target, name, found, model, origin=base)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
