"""Every variant on CUDA, where there is one: the same result as on CPU, forward and backward."""

import pytest
import torch

from contract.variants import UNEQUAL, batch, documents, each_variant, tiny_model
from tokensieve import ReductionConfig

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@each_variant
def test_cuda_is_cpu(reduction: ReductionConfig) -> None:
    model, inputs = tiny_model(reduction), batch(documents(UNEQUAL))
    labels = torch.zeros(len(UNEQUAL), dtype=torch.long)
    expected = model(**inputs, labels=labels)
    there = {name: tensor.cuda() for name, tensor in inputs.items()}
    output = model.cuda()(**there, labels=labels.cuda())
    torch.testing.assert_close(output.logits.cpu(), expected.logits, atol=1e-4, rtol=0)
    assert output.trace.kept == expected.trace.kept
    assert output.trace.survivors() == expected.trace.survivors()
    output.loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
