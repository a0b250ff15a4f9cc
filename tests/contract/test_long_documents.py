"""Documents of 8,192 tokens on a small ModernBERT: trained on, predicted, and no tensor grows faster than they do."""

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from contract.families import FAMILIES
from contract.variants import LOCAL, METHODS_TRIED, batch, documents, settings, tiny_model
from tokensieve import ReductionConfig

SIZES = FAMILIES["modernbert"] | {
    "max_position_embeddings": 8192,
    "hidden_size": 32,
    "attention_probs_dropout_prob": 0.0,
}
SIZES["blocks"] = SIZES["blocks"] | {"window": 64}
METHODS: dict[str, ReductionConfig] = {
    "dense": settings(pruning="none", pooling="host"),
    "keys": settings(pruning="ratio", pooling="host"),
    "learned": settings(site="hidden", score="learned", keep_ratio=0.5, pooling="mean", leaving_keys=True),
    "hidden, then combined": settings(pruning="ratio", site="hidden", combine_layer=4),
    "local merging": METHODS_TRIED["method local-merge"],
    "local merging, band 3": LOCAL["local-3"],
}


class Largest(TorchDispatchMode):
    """The most elements of any tensor that is made within the block."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        held = [
            leaf.untyped_storage().nbytes() // leaf.element_size()
            for leaf in tree_leaves(made)
            if torch.is_tensor(leaf)
        ]
        self.elements = max(self.elements, *held, 0)
        return made


def step(reduction: ReductionConfig, tokens: int, training: bool) -> int:
    """Most elements of a tensor in a step on one document, or in its prediction."""
    model, inputs = tiny_model(reduction, **SIZES).train(training), batch(documents((tokens,)))
    with torch.set_grad_enabled(training), Largest() as largest:
        output = model(**inputs, labels=torch.tensor([1]))
        if training:
            output.loss.backward()
    assert output.loss.isfinite()
    return largest.elements


@pytest.mark.parametrize("training", [True, False], ids=["training", "prediction"])
@pytest.mark.parametrize("name", METHODS)
def test_tensors_grow_with_the_document(name: str, training: bool) -> None:
    """Received attention takes its probabilities in blocks of one size, the size of a short document's."""
    short, long = (step(METHODS[name], tokens, training) for tokens in (2048, 8192))
    assert long <= 4.2 * short
