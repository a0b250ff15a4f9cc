"""transformers' Trainer: accumulation divides the loss, evaluation copes with the ragged trace, bf16 stays finite."""

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import Trainer, TrainingArguments

from contract.variants import LABELS, documents, settings, tiny_model
from tokensieve import TokensieveForSequenceClassification

LENGTHS = [5, 40, 17, 3, 64, 9, 23, 2] * 4
EXAMPLES = [{"ids": ids, "label": number % LABELS} for number, ids in enumerate(documents(LENGTHS))]


def collate(examples: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    rows = [torch.tensor(example["ids"]) for example in examples]
    ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "labels": torch.tensor([example["label"] for example in examples]),
    }


def trainer(model: TokensieveForSequenceClassification, folder: Path, **options: Any) -> Trainer:
    arguments = {"use_cpu": True, "report_to": "none", "save_strategy": "no", "remove_unused_columns": False} | options
    args = TrainingArguments(str(folder), disable_tqdm=True, **arguments)
    return Trainer(model, args, data_collator=collate, train_dataset=EXAMPLES, eval_dataset=EXAMPLES[:5])


def test_forward_takes_no_unknown_arguments() -> None:
    """With **kwargs Trainer assumes that the model divides by the accumulated number of items, and does not."""
    kinds = {p.kind for p in inspect.signature(TokensieveForSequenceClassification.forward).parameters.values()}
    assert inspect.Parameter.VAR_KEYWORD not in kinds
    assert TokensieveForSequenceClassification.accepts_loss_kwargs is False


@pytest.mark.parametrize("site", ["keys", "hidden"])
def test_one_batch_of_16_is_four_of_4(site: str, tmp_path: Path) -> None:
    trained = []
    for size, accumulation in ((16, 1), (4, 4)):
        reduction = settings(combine_layer=3, combine_noise=False, site=site)
        model = tiny_model(reduction, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
        options = {"per_device_train_batch_size": size, "gradient_accumulation_steps": accumulation}
        run = trainer(
            model, tmp_path, max_steps=2, learning_rate=0.05, optim="sgd", lr_scheduler_type="constant", **options
        )
        run.train()
        trained.append(torch.cat([parameter.detach().flatten() for parameter in model.parameters()]))
    start = tiny_model(reduction, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    before = torch.cat([parameter.detach().flatten() for parameter in start.parameters()])
    assert (trained[0] - before).abs().max() > 1e-3
    torch.testing.assert_close(trained[0], trained[1], atol=1e-5, rtol=0)


def test_predictions_are_the_logits_in_order(tmp_path: Path) -> None:
    model = tiny_model(settings(combine_layer=3))
    assert "trace" in model.config.keys_to_ignore_at_inference
    result = trainer(model, tmp_path, per_device_eval_batch_size=2).predict(EXAMPLES[:5])
    with torch.no_grad():
        expected = model(**collate(EXAMPLES[:5])).logits.numpy()
    assert result.predictions.shape == (5, LABELS)
    np.testing.assert_allclose(result.predictions, expected, atol=1e-5)
    assert np.isfinite(result.metrics["test_loss"])


@pytest.mark.parametrize("heads", ["shared", "per_head"])
def test_mixed_precision_stays_finite(heads: str, tmp_path: Path) -> None:
    model = tiny_model(settings(combine_layer=3, heads=heads, ratio_scope="candidates"))
    run = trainer(model, tmp_path, max_steps=3, bf16=True, learning_rate=1e-3, logging_steps=1)
    assert np.isfinite(run.train().training_loss)
    assert np.isfinite(run.evaluate()["eval_loss"])
    assert all(parameter.isfinite().all() and parameter.dtype == torch.float32 for parameter in model.parameters())


@pytest.mark.parametrize("site", ["keys", "hidden"])
def test_pure_bf16_training_stays_finite(site: str, tmp_path: Path) -> None:
    """Weights, optimizer and activations in bfloat16, as a user gets by loading the model in it."""
    model = tiny_model(settings(combine_layer=3, site=site)).to(torch.bfloat16)
    run = trainer(model, tmp_path, max_steps=4, learning_rate=1e-3, logging_steps=1)
    assert np.isfinite(run.train().training_loss)
    assert np.isfinite(run.evaluate()["eval_loss"])
    assert all(parameter.isfinite().all() and parameter.dtype == torch.bfloat16 for parameter in model.parameters())


@pytest.mark.parametrize("site", ["keys", "hidden"])
def test_trainer_turns_gradient_checkpointing_on(site: str, tmp_path: Path) -> None:
    trained = []
    for switched in (False, True):
        model = tiny_model(settings(combine_layer=3, combine_noise=False, site=site))
        trainer(model, tmp_path, max_steps=2, learning_rate=1e-3, gradient_checkpointing=switched).train()
        assert switched == any(getattr(layer, "gradient_checkpointing", False) for layer in model.encoder.layer)
        trained.append(torch.cat([parameter.detach().flatten() for parameter in model.parameters()]))
    torch.testing.assert_close(trained[0], trained[1], atol=1e-6, rtol=0)
