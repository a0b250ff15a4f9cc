"""Gates that are learned in a training: what they learn, that they then stay as they are, and that tokens leave."""

from collections.abc import Callable
from dataclasses import replace
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, TrainerCallback

from tokensieve import METHODS, ConfigError, Deferral, ReductionConfig, TokensieveForSequenceClassification
from tokensieve.data import DataSplits
from tokensieve.reduce.score.skim_predictor import SkimPredictor
from tokensieve.reduce.select.learned_threshold import LearnedThreshold
from tokensieve.reduce.select.top_share import TopShare
from tokensieve.training.loop.trainer import TokensieveTrainer
from tokensieve.training.recipe import Recipe
from tokensieve.training.train import train
from unit.training.keyword_documents import labelled_documents
from unit.training.stage_files import weights_of

DATA = DataSplits(labelled_documents(32), labelled_documents(16, seed=1))
RATES = {"ltp": 1e-2, "transkimmer": 3e-2, "power-bert": 3e-2}
"""Of gates, so that they close in the few steps of these runs."""
RECIPE = Recipe(learning_rate=1e-3, batch_size=8, max_length=32, floors="none", calibrate=False)
LTP = replace(
    METHODS["ltp"].settings,
    prune=replace(METHODS["ltp"].settings.prune, select=LearnedThreshold(final=0.1, temperature=0.02)),
)
"""With thresholds for documents of about ten tokens, which receive a tenth of the attention each."""
SKIM = replace(
    METHODS["transkimmer"].settings,
    prune=replace(METHODS["transkimmer"].settings.prune, score=SkimPredictor(start=0.3)),
)
"""With gates that few steps close."""
SETTINGS = {name: METHODS[name].settings for name in RATES} | {"ltp": LTP, "transkimmer": SKIM}
Learn = Callable[..., dict[str, Any]]
each_method = pytest.mark.parametrize("name", RATES)


@pytest.fixture
def learn(base: Path, tmp_path: Path) -> Learn:
    """`learn(name, **recipe)` trains a method into tmp_path/name and gives the record."""

    def run(name: str, **recipe: Any) -> dict[str, Any]:
        method = METHODS[name]
        own = replace(RECIPE, **{**method.recipe, "gate_epochs": 4, "gate_learning_rate": RATES[name], **recipe})
        return train(base, SETTINGS[name], DATA, tmp_path / name, own, progress=False)

    return run


def kept_of(folder: Path) -> list[list[int]]:
    """Tokens that each layer keeps of the validation documents, and ahead of the first one all."""
    model = TokensieveForSequenceClassification.from_pretrained(folder)
    texts = [document.text for document in DATA.validation]
    inputs = AutoTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        trace = model(**{name: inputs[name] for name in ("input_ids", "attention_mask")}).trace
    return [inputs["attention_mask"].sum(1).tolist(), *map(list, trace.kept)]


@each_method
def test_tokens_leave_the_trained_classifier(name: str, learn: Learn, tmp_path: Path) -> None:
    record = learn(name, epochs=1)
    counts = [sum(step) for step in kept_of(tmp_path / name)]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] < 0.8 * counts[0]
    assert record["gates"]["epochs"] == 4
    assert record["gates"]["loss"] > 0
    assert [entry["epoch"] for entry in record["history"] if "eval_loss" in entry] == [0.0, 1.0]


def test_thresholds_are_learned_and_then_stay(learn: Learn, tmp_path: Path) -> None:
    """They are those of the end of the soft part in the folder, however long the weights were trained after it."""
    layers = learn("ltp", epochs=3)["gates"]["layers"]
    start = [0.1 * number / 4 for number in range(1, 5)]
    learned = [layers[str(number)]["threshold"] for number in range(1, 5)]
    assert all(abs(now - before) > 1e-4 for now, before in zip(learned, start, strict=True))
    saved = weights_of(tmp_path / "ltp")
    differences = [float(saved[f"encoder.layer.{number}.gate.difference"]) for number in range(4)]
    assert [base + own for base, own in zip(start, differences, strict=True)] == pytest.approx(learned)


def test_a_larger_penalty_leaves_fewer_tokens(base: Path, tmp_path: Path) -> None:
    counts = []
    for penalty in (0.0, 5.0):
        select = replace(LTP.prune.select, penalty=penalty)
        recipe = replace(RECIPE, epochs=0, gate_epochs=4, gate_learning_rate=RATES["ltp"])
        settings = replace(LTP, prune=replace(LTP.prune, select=select))
        train(base, settings, DATA, tmp_path / str(penalty), recipe, progress=False)
        counts.append(sum(kept_of(tmp_path / str(penalty))[-1]))
    assert counts[1] < counts[0]


def test_the_predictor_is_learned_without_a_hard_part(learn: Learn, tmp_path: Path) -> None:
    """As the preset says it: no epoch follows, the end of the soft part is what is saved, and it is scored."""
    record = learn("transkimmer")
    assert record["recipe"]["epochs"] == 0
    assert [entry["epoch"] for entry in record["history"] if "eval_loss" in entry] == [0.0] == [record["best"]["epoch"]]
    assert sum(kept_of(tmp_path / "transkimmer")[-1]) < sum(kept_of(tmp_path / "transkimmer")[0])
    card = " ".join((tmp_path / "transkimmer" / "README.md").read_text().split())
    assert "Which tokens leave was learned first, together with the weights, in 4 epochs" in card
    assert "Nothing was trained" not in card and "`gate_epochs`" in card


def test_the_schedule_is_the_mass_of_the_weights(learn: Learn, tmp_path: Path) -> None:
    """The folder has a plain selection, the learned shares, and no gate."""
    record = learn("power-bert", epochs=1)
    shares = [record["gates"]["layers"][str(number)]["share"] for number in range(1, 5)]
    assert all(share < 0.9 for share in shares)
    model = TokensieveForSequenceClassification.from_pretrained(tmp_path / "power-bert")
    assert model.settings.to_dict() == record["gates"]["settings"]
    assert model.settings.prune.select == TopShare()
    left = list(accumulate(shares, min))  # tokens that are gone do not come back
    wanted = [after / before for before, after in pairwise([1.0, *left])]
    assert model.settings.shares(4) == pytest.approx(wanted, abs=6e-4), "rounded to three digits"
    assert left[-1] < 0.9
    assert not [name for name in weights_of(tmp_path / "power-bert") if "gate" in name]
    lengths, *kept = kept_of(tmp_path / "power-bert")
    plan = [model.plan(length).kept_tokens for length in lengths]
    assert [list(step) for step in zip(*plan, strict=True)] == kept


def test_gates_have_a_rate_of_their_own(learn: Learn, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the soft part; in the hard one they are in no group."""
    seen: list[dict[float, set[str]]] = []
    made = TokensieveTrainer.create_optimizer

    def noted(self: TokensieveTrainer, *arguments: Any) -> Any:
        optimizer = made(self, *arguments)
        names = {id(parameter): name for name, parameter in self.model.named_parameters()}
        groups: dict[float, set[str]] = {}
        for group in optimizer.param_groups:
            groups.setdefault(round(group["lr"], 6), set()).update(names[id(own)] for own in group["params"])
        seen.append(groups)
        return optimizer

    monkeypatch.setattr(TokensieveTrainer, "create_optimizer", noted)
    learn("ltp", epochs=1, head_lr_multiplier=2.0)
    soft, hard = seen
    gates = {f"encoder.layer.{number}.gate.difference" for number in range(4)}
    assert soft[1e-2] == gates
    assert {"head.classifier.weight", "head.dense.weight"} <= soft[2e-3]
    assert 1e-2 not in hard and not gates & set().union(*hard.values())


def test_a_dense_classifier_to_start_from(learn: Learn, base: Path, tmp_path: Path) -> None:
    """As the papers do. It is no epoch of the run itself: epoch 0 is the end of the soft part. And gates stay after."""
    dense = ReductionConfig(prune=None)
    train(base, dense, DATA, tmp_path / "dense", replace(RECIPE, epochs=2), progress=False)
    own = replace(RECIPE, gate_epochs=2, gate_learning_rate=3e-3, epochs=1)
    record = train(tmp_path / "dense", LTP, DATA, tmp_path / "out", own, progress=False)
    assert [entry["epoch"] for entry in record["history"] if "eval_loss" in entry] == [0.0, 1.0]
    again = train(tmp_path / "out", LTP, DATA, tmp_path / "again", replace(RECIPE, epochs=1), progress=False)
    assert again["gates"] is None
    before, after = weights_of(tmp_path / "out"), weights_of(tmp_path / "again")
    assert all(torch.equal(before[name], after[name]) for name in before if "gate" in name), "gates that stay"


class CutOffError(Exception):
    """Ends a run."""


class CutOff(TrainerCallback):
    """Ends a run of three epochs when the second one begins."""

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.epoch and args.num_train_epochs == 3:
            raise CutOffError


def test_a_resumed_run_has_the_same_gates(base: Path, tmp_path: Path) -> None:
    """Cut off in the hard part: the soft one is run again, to the same shares; the weights are those of a whole run."""
    own = replace(RECIPE, epochs=3, gate_epochs=2, gate_learning_rate=3e-2)
    settings = METHODS["power-bert"].settings
    whole = train(base, settings, DATA, tmp_path / "whole", own, progress=False)
    with pytest.raises(CutOffError):
        train(base, settings, DATA, tmp_path / "cut", own, progress=False, callbacks=[CutOff()])
    resumed = train(base, settings, DATA, tmp_path / "cut", own, progress=False, resume=True)
    assert resumed["resumed_from"] is not None
    assert resumed["gates"]["layers"] == whole["gates"]["layers"]
    one, other = weights_of(tmp_path / "whole"), weights_of(tmp_path / "cut")
    assert all(torch.allclose(one[name], other[name], atol=1e-6) for name in one)


@pytest.mark.parametrize(
    ("settings", "recipe", "named"),
    [
        (METHODS["quantile"].settings, {}, "gate_epochs=2 with prune.select=quantile: it learns nothing"),
        (METHODS["dense"].settings, {}, "gate_epochs=2 with prune=none"),
        (METHODS["ltp"].settings, {"lora_rank": 2}, "gate_epochs=2 with lora_rank=2"),
        (replace(METHODS["ltp"].settings, defer=Deferral(0.2)), {}, "gate_epochs=2 with defer"),
    ],
    ids=["learns nothing", "dense", "lora", "cascade"],
)
def test_refused(settings: ReductionConfig, recipe: dict[str, Any], named: str, base: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=named):
        train(base, settings, DATA, tmp_path / "out", replace(RECIPE, gate_epochs=2, **recipe), progress=False)
    assert not (tmp_path / "out").exists()
