"""Dropout by its definition: what stays is scaled, what goes has no gradient, the mask is all that is remembered."""

import pytest
import torch

from contract.variants import batch, documents, settings, tiny_model
from tokensieve.model.dropout import Dropout


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_values_and_gradients(dtype: torch.dtype) -> None:
    values = torch.ones(200, 100, dtype=dtype, requires_grad=True)
    dropped = Dropout(0.25)(values)
    dropped.sum().backward()
    assert dropped.dtype == dtype
    scaled = torch.tensor(4 / 3, dtype=dtype).item()
    assert set(dropped.unique().tolist()) == {0.0, scaled}
    assert (dropped == 0).float().mean() == pytest.approx(0.25, abs=0.02)
    assert torch.equal(values.grad, dropped.detach())


@pytest.mark.parametrize(("p", "training"), [(0.5, False), (0.0, True)])
def test_nothing_to_drop(p: float, training: bool) -> None:
    values = torch.randn(5)
    assert Dropout(p).train(training)(values) is values or torch.equal(Dropout(p).train(training)(values), values)


def test_all_is_dropped() -> None:
    assert Dropout(1.0)(torch.randn(5)).tolist() == [0] * 5


def test_what_training_remembers() -> None:
    """No mask of floats, and of attention's context one copy: twelve blocks of T x d a layer, one for all around them.

    They are query, key, value, context; sum and norm after attention, sum and norm after the feed-forward; and before
    and after the activation, twice as wide here.
    """
    layers, remembered, alive = 4, {}, []
    model = tiny_model(settings(pruning="none"), attention_probs_dropout_prob=0.0, num_hidden_layers=layers).train()
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if tensor.is_floating_point() and storage.data_ptr() not in weights:
            alive.append(tensor)  # or its place could be used again
            remembered[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        model(**batch(documents((40, 40))), labels=torch.tensor([0, 1]))
    block = 80 * 32 * 4
    assert sum(size for size in remembered.values() if size >= block) / block / layers <= 13
