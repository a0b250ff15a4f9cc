"""Parity with transformers on a real MPNet of base size, where `benchmarks/speed/mpnet_base.py` has made its folder."""

import os
from pathlib import Path

import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from tokensieve import ReductionConfig, TokensieveModel, compress

FOLDER = Path(os.environ.get("TOKENSIEVE_MPNET_BASE", Path(__file__).parents[2] / "build" / "all-mpnet-base-v2"))
TEXTS = [
    "A court may set aside an award only where the agent acted beyond the powers that the parties gave.",
    "Short.",
    "The film is long, and the second half repeats what the first half said. " * 40,
]

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="benchmarks/speed/mpnet_base.py has not been run")


@pytest.mark.parametrize("side", ["right", "left"])
@torch.no_grad()
def test_the_vectors_of_all_tokens(side: str, tmp_path: Path) -> None:
    source = AutoModel.from_pretrained(FOLDER, attn_implementation="eager").eval()
    tokenizer = AutoTokenizer.from_pretrained(FOLDER, padding_side=side)
    inputs = tokenizer(TEXTS, padding=True, truncation=True, max_length=512, return_tensors="pt")
    assert inputs["input_ids"].shape[1] == 512
    compress(FOLDER, ReductionConfig.preset("dense")).save_pretrained(tmp_path)
    ours = TokensieveModel.from_pretrained(tmp_path)(**inputs).tokens.values
    theirs = source(**inputs).last_hidden_state[inputs["attention_mask"].bool()]
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)
    assert theirs.std() > 0.05
