"""The padded forward pass that is exported gives the model's logits, and its blocks do get narrower."""

import pytest
import torch

from contract.families import FAMILIES
from contract.variants import COUNTED, POSITIONS, VARIANTS, batch, documents, settings, tiny_model
from tokensieve import ConfigError, ReductionConfig
from tokensieve.export.onnx import check_settings
from tokensieve.export.padded import PaddedClassifier
from tokensieve.export.samples import sample_batch


def refused(reduction: ReductionConfig) -> bool:
    """What `check_settings` is to refuse."""
    prune = reduction.prune
    return prune is not None and (prune.merge is not None or prune.score.name in ("random", "first", "page-rank"))


EXPORTED = {name: reduction for name, reduction in COUNTED.items() if not refused(reduction)}
LENGTHS = [(17, 1, 40, 2), (3, 63, 62, 5, 4), (POSITIONS, 1), (1,)]


@pytest.mark.parametrize("reduction", EXPORTED.values(), ids=EXPORTED.keys())
@torch.no_grad()
def test_it_gives_the_logits_of_the_model(reduction: ReductionConfig) -> None:
    model = tiny_model(reduction)
    check_settings(model)
    for lengths in LENGTHS:
        for side in ("right", "left"):
            inputs = batch(documents(lengths), side=side, width=max(lengths) + (side == "left"))
            expected = model(**inputs).logits
            torch.testing.assert_close(PaddedClassifier(model)(**inputs), expected, atol=2e-5, rtol=0)


@pytest.mark.parametrize("changes", [{"pruning": "none"}, {"pruning": "ratio", "site": "hidden", "pooling": "mean"}])
@torch.no_grad()
def test_holes_and_segments_are_those_of_the_model(changes: dict[str, object]) -> None:
    model, inputs = tiny_model(settings(**changes)), sample_batch(tiny_model(settings()).config, (30, 12, 21))
    inputs["attention_mask"][:, 5:8] = 0
    expected = model(**inputs).logits
    torch.testing.assert_close(PaddedClassifier(model)(**inputs), expected, atol=2e-5, rtol=0)
    other = {**inputs, "token_type_ids": torch.zeros_like(inputs["token_type_ids"])}
    assert (model(**other).logits - expected).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("changes", "widths"),
    [
        ({"pruning": "none"}, [40, 40, 40, 40]),
        ({"pruning": "ratio", "site": "hidden", "keep_ratio": 0.5}, [20, 10, 5, 3]),  # special tokens stay
        ({"pruning": "ratio", "site": "hidden", "keep_ratio": 0.5, "min_tokens": 12}, [20, 12, 12, 12]),
        ({"pruning": "ratio", "site": "hidden", "keep_ratio": 0.5, "min_length": 18}, [20, 17, 17, 17]),
        ({"pruning": "ratio", "site": "keys", "keep_ratio": 0.5}, [40, 40, 40, 40]),  # they stay queries
    ],
    ids=str,
)
@torch.no_grad()
def test_tokens_leave_the_block(changes: dict[str, object], widths: list[int]) -> None:
    model, seen = tiny_model(settings(**changes)), []
    for layer in model.encoder.layer:
        layer.intermediate.dense.register_forward_hook(lambda *call: seen.append(call[1][0].shape[1]))
    PaddedClassifier(model)(**batch(documents((40, 9, 17))))
    assert seen == widths


@torch.no_grad()
def test_pruned_keys_are_not_projected() -> None:
    model, seen = tiny_model(settings(pruning="ratio", keep_ratio=0.5)), []
    for layer in model.encoder.layer:
        layer.attention.self.key.register_forward_hook(lambda *call: seen.append(call[1][0].shape[1]))
    PaddedClassifier(model)(**batch(documents((40, 9, 17))))
    assert seen == [40, 20, 10, 5]


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("method merge", "prune.merge=most-similar"),
        ("method random", "prune.score=random"),
        ("method zero-tprune", "prune.score=page-rank"),
        ("method quantile", "prune.select=quantile"),
        ("method ltp", "prune.select=learned-threshold"),
        ("method transkimmer", "prune.score=skim-predictor"),
        ("fuzzy-candidates-host", "prune.select=fuzzy, prune.select.scope=candidates"),
    ],
)
def test_other_settings_are_refused_by_name(name: str, setting: str) -> None:
    with pytest.raises(ConfigError, match=r"cannot be exported to ONNX") as caught:
        check_settings(tiny_model(VARIANTS[name]))
    assert str(caught.value).startswith(setting)


def test_a_share_of_one_prunes_nothing() -> None:
    check_settings(tiny_model(settings(pruning="fuzzy", ratio_scope="candidates", keep_ratio=1.0)))


@pytest.mark.parametrize(
    ("types", "segments", "largest"), [(2, True, 1), (1, True, 0), (0, True, None), (2, False, None)]
)
def test_sample_documents_have_the_inputs_of_the_tokenizer(types: int, segments: bool, largest: int | None) -> None:
    inputs = sample_batch(tiny_model(settings(), type_vocab_size=types).config, (9, 4), segments)
    assert inputs["attention_mask"].sum(1).tolist() == [9, 4]
    assert (int(inputs["token_type_ids"].max()) if "token_type_ids" in inputs else None) == largest


@pytest.mark.parametrize("kind", ["mpnet", "modernbert", "eurobert"])
def test_families_whose_layers_are_not_berts_are_refused_with_the_remedy(kind: str) -> None:
    model = tiny_model(settings(pruning="none", pooling="host"), **FAMILIES[kind])
    with pytest.raises(ConfigError, match=f"the family {kind} cannot be exported to ONNX yet.*--format transformers"):
        check_settings(model)
