"""Names of earlier versions, which go on working for one release: each warns and gives what it is called today."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
C = TypeVar("C", bound=type)

BENCHMARKS = "tokensieve_bench"

MODULES: dict[str, str] = {
    "tokensieve.backbones.host": "tokensieve.backbones.source",
    "tokensieve.bench.subjects": "tokensieve_bench.contenders",
    "tokensieve.bench.subjects.kind": "tokensieve_bench.contenders.contender",
    "tokensieve.bench.turns": "tokensieve_bench.rounds",
    "tokensieve.bench": "tokensieve_bench",
    "tokensieve.demo": "tokensieve_bench.demo",
    "tokensieve.model.words_on_disk": "tokensieve.runtime.offload",
    "tokensieve.combiners": "tokensieve.reduce.combine.combining_module",
    "tokensieve.combiners.merge": "tokensieve.reduce.merge.most_similar",
    "tokensieve.combiners.ptc": "tokensieve.reduce.combine.combining_module",
    "tokensieve.model.embed": "tokensieve.model.inputs.text",
    "tokensieve.model.encoder": "tokensieve.model.layers",
    "tokensieve.presets": "tokensieve.methods",
    "tokensieve.reducers": "tokensieve.reduce.contract",
    "tokensieve.reducers.contract": "tokensieve.reduce.contract",
    "tokensieve.reducers.fuzzy": "tokensieve.reduce.select.fuzzy",
    "tokensieve.reducers.importance": "tokensieve.reduce.score.learned",
    "tokensieve.reducers.queries": "tokensieve.reduce.score.received",
    "tokensieve.reducers.ranking": "tokensieve.reduce.select.ranking",
    "tokensieve.reducers.ratio": "tokensieve.reduce.select.top_share",
    "tokensieve.reducers.schedule": "tokensieve.model.steps",
    "tokensieve.runtime.ahead": "tokensieve.runtime.prefetch",
    "tokensieve.training.alignment": "tokensieve.training.fits.head_refit",
    "tokensieve.training.best": "tokensieve.training.loop.best_epoch",
    "tokensieve.training.calibrate": "tokensieve.training.fits.calibration",
    "tokensieve.training.card": "tokensieve.training.files.card",
    "tokensieve.training.checkpoints": "tokensieve.training.files.checkpoints",
    "tokensieve.training.distill": "tokensieve.training.teacher",
    "tokensieve.training.follow": "tokensieve.training.stages.distil_features",
    "tokensieve.training.importance": "tokensieve.training.fits.importance",
    "tokensieve.training.loss": "tokensieve.training.losses.labels",
    "tokensieve.training.markdown": "tokensieve.training.files.markdown",
    "tokensieve.training.order": "tokensieve.training.loop.epoch_order",
    "tokensieve.training.output": "tokensieve.training.files.output",
    "tokensieve.training.prepare": "tokensieve.training.start",
    "tokensieve.training.processes": "tokensieve.training.loop.processes",
    "tokensieve.training.reproduce": "tokensieve.training.files.reproduce",
    "tokensieve.training.reread": "tokensieve.training.fits.cascade",
    "tokensieve.training.sample": "tokensieve.training.fits.sample",
    "tokensieve.training.tighten": "tokensieve.training.loop.pruning_warmup",
    "tokensieve.training.trainer": "tokensieve.training.loop.run",
    "tokensieve.training.trim": "tokensieve.training.loop.trim_memory",
    "tokensieve.training.whole_steps": "tokensieve.training.loop.trainer",
}
"""Old module or package -> the new one; the modules in a package follow it. Where some of them have new names, these
stand ahead of the package. tokensieve_bench is there in a clone alone.
"""

NAMES: dict[str, str] = {
    "tokensieve.backbones.host.Host": "tokensieve.backbones.source.SourceCheckpoint",
    "tokensieve.backbones.host.host_config": "tokensieve.backbones.source.source_config",
    "tokensieve.backbones.host.load_host_model": "tokensieve.backbones.source.load_source_model",
    "tokensieve.backbones.host.read_host": "tokensieve.backbones.source.read_source",
    "tokensieve.bench.subjects.KINDS": "tokensieve_bench.contenders.CONTENDER_CONFIGS",
    "tokensieve.bench.subjects.Kind": "tokensieve_bench.contenders.ContenderConfig",
    "tokensieve.bench.subjects.Subject": "tokensieve_bench.contenders.Contender",
    "tokensieve.bench.subjects.kind.Kind": "tokensieve_bench.contenders.contender.ContenderConfig",
    "tokensieve.bench.subjects.kind.Subject": "tokensieve_bench.contenders.contender.Contender",
    "tokensieve.bench.subjects.kind.ModuleSubject": "tokensieve_bench.contenders.contender.ModuleContender",
    "tokensieve.bench.subjects.kind.DenseSubject": "tokensieve_bench.contenders.contender.DenseContender",
    "tokensieve.bench.turns.in_turns": "tokensieve_bench.rounds.run_interleaved",
    "tokensieve.bench.figures.realisation": "tokensieve_bench.figures.efficiency",
    "tokensieve.bench.figures.pruning_realisation": "tokensieve_bench.figures.pruning_efficiency",
    "tokensieve.model.head.HostHead": "tokensieve.model.head.PretrainedHead",
    "tokensieve.model.words_on_disk.WordsOnDisk": "tokensieve.runtime.offload.OffloadedEmbeddings",
    "tokensieve.runtime.ahead.iterate_ahead": "tokensieve.runtime.prefetch.prefetched",
    "tokensieve.runtime.load.leave_words_on_disk": "tokensieve.runtime.offload.offload_input_embeddings",
    "tokensieve.training.alignment.Alignment": "tokensieve.training.fits.head_refit.RidgeMap",
    "tokensieve.training.alignment.align_head": "tokensieve.training.fits.head_refit.refit_head",
    "tokensieve.training.best.Start": "tokensieve.training.loop.best_epoch.EpochZero",
    "tokensieve.training.checkpoints.is_whole": "tokensieve.training.files.checkpoints.is_complete",
    "tokensieve.training.checkpoints.last_whole": "tokensieve.training.files.checkpoints.last_complete",
    "tokensieve.training.checkpoints.mark_whole": "tokensieve.training.files.checkpoints.mark_complete",
    "tokensieve.training.distill.DistilledLoss": "tokensieve.training.losses.distillation.DistillationLoss",
    "tokensieve.training.distill.Taught": "tokensieve.training.losses.batch.WithTargets",
    "tokensieve.training.follow.VectorLoss": "tokensieve.training.losses.features.FeatureLoss",
    "tokensieve.training.follow.follow": "tokensieve.training.stages.distil_features.distil_features",
    "tokensieve.training.follow.only": "tokensieve.training.loop.frozen.only_trainable",
    "tokensieve.training.follow.read_by_following": "tokensieve.training.stages.distil_features.distillation_documents",
    "tokensieve.training.importance.why_no_start": "tokensieve.training.start.why_no_classifier",
    "tokensieve.training.order.FilledUp": "tokensieve.training.loop.epoch_order.PaddedDocuments",
    "tokensieve.training.order.FollowEpochs": "tokensieve.training.loop.epoch_order.SetEpoch",
    "tokensieve.training.prepare.fit_for_training": "tokensieve.training.stages.fine_tune.fit_for_training",
    "tokensieve.training.prepare.keep_calibration": "tokensieve.training.stages.fine_tune.keep_calibration",
    "tokensieve.training.prepare.set_attention_dropout": "tokensieve.training.stages.fine_tune.set_attention_dropout",
    "tokensieve.training.reread.check_reread": "tokensieve.training.fits.cascade.check_cascade",
    "tokensieve.training.reread.warn_of_pruned_base": "tokensieve.training.start.warn_of_pruned_base",
    "tokensieve.training.stages.SECOND_RATE": "tokensieve.training.dense_first.SECOND_RATE",
    "tokensieve.training.stages.check_places": "tokensieve.training.dense_first.check_places",
    "tokensieve.training.stages.dense_folder": "tokensieve.training.dense_first.dense_folder",
    "tokensieve.training.stages.train_in_stages": "tokensieve.training.dense_first.train_dense_first",
    "tokensieve.training.start.first_stage": "tokensieve.training.files.record.started_from",
    "tokensieve.training.start.why_no_candidate": "tokensieve.training.start.why_incomplete",
    "tokensieve.training.tighten.TightenPruning": "tokensieve.training.loop.pruning_warmup.PruningWarmup",
    "tokensieve.training.trainer.loss_weights": "tokensieve.training.losses.labels.loss_weights",
    "tokensieve.training.trainer.training_arguments": "tokensieve.training.loop.arguments.training_arguments",
    "tokensieve.training.whole_steps.WholeStepsTrainer": "tokensieve.training.loop.trainer.TokensieveTrainer",
    "tokensieve.training.reread.fit_reread": "tokensieve.cascade.fit.fit_defer",
    "tokensieve.combiners.Merging": "tokensieve.reduce.merge.contract.Merging",
    "tokensieve.combiners.merge.Merging": "tokensieve.reduce.merge.contract.Merging",
    "tokensieve.combiners.most_similar": "tokensieve.reduce.merge.most_similar.most_similar",
    "tokensieve.presets.PRESET_NAMES": "tokensieve.methods.METHODS",
    "tokensieve.reducers.Importance": "tokensieve.reduce.score.learned.Importance",
    "tokensieve.reducers.KeyRows": "tokensieve.reduce.rows.KeyRows",
    "tokensieve.reducers.contract.KeyRows": "tokensieve.reduce.rows.KeyRows",
    "tokensieve.reducers.contract.select_rows": "tokensieve.reduce.rows.select_rows",
    "tokensieve.reducers.select_rows": "tokensieve.reduce.rows.select_rows",
}
"""Old class or function -> the new one, both with their modules.

A module that is still there has to find its old names by `__getattr__ = renamed(__name__)`.
"""


def install() -> None:
    """Let the modules of `MODULES` be imported; a second call does nothing."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())


def renamed(module: str, *, stacklevel: int = 3) -> Callable[[str], Any]:
    """The `__getattr__` of a module some of whose names are old ones of `NAMES`.

    Args:
        module: its dotted name.
        stacklevel: one more where the module's `__getattr__` calls this one.
    """

    def find(name: str) -> Any:
        if (new := NAMES.get(f"{module}.{name}")) is None:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        warn(f"{module}.{name}", new, stacklevel=stacklevel)
        return _import_name(new)

    return find


def renamed_keyword(old: str, new: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Decorate a function that still takes a keyword under its old name.

    Args:
        old: not in the function's signature.
        new: today's name; giving both is a TypeError.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            if old in kwargs:
                if new in kwargs:
                    raise TypeError(f"{function.__name__}() got {new!r} twice: {old!r} is its old name")
                warn(f"{function.__name__}({old}=...)", f"{new}=...", stacklevel=3)
                kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return call

    return decorate


def renamed_arguments(names: Mapping[str, str]) -> Callable[[C], C]:
    """Decorate a class that still takes arguments, and whose objects still give attributes, under old names.

    Args:
        names: old name -> today's.
    """

    def decorate(cls: C) -> C:
        init: Callable[..., None] = cls.__init__  # type: ignore[misc]

        @wraps(init)
        def call(self: Any, *arguments: Any, **options: Any) -> None:
            for old in names.keys() & options.keys():
                warn(f"{cls.__name__}({old}=...)", f"{names[old]}=...", stacklevel=3)
                options[names[old]] = options.pop(old)
            init(self, *arguments, **options)

        def get(self: Any, name: str) -> Any:
            if name not in names:
                raise AttributeError(f"{cls.__name__!r} object has no attribute {name!r}")
            warn(f"{cls.__name__}.{name}", names[name], stacklevel=3)
            return getattr(self, names[name])

        cls.__init__ = call  # type: ignore[misc]
        cls.__getattr__ = get  # type: ignore[attr-defined]
        return cls

    return decorate


def warn(old: str, new: str, *, stacklevel: int) -> None:
    """Warn of an old name.

    Args:
        old: as the caller gave it.
        new: what takes its place.
        stacklevel: frames from here to the user's line; 2 is the caller of this function.
    """
    text = f"{old} is now called {new}; the old name goes with the next release"
    warnings.warn(text, DeprecationWarning, stacklevel=stacklevel)


def _import_name(dotted: str) -> Any:
    module, _, name = dotted.rpartition(".")
    return getattr(import_module(module), name)


def _module_today(module: str) -> str | None:
    """The module that an old one has become; None for any other."""
    for old, new in MODULES.items():
        if module == old or module.startswith(f"{old}."):
            return MODULES.get(module, new + module.removeprefix(old))
    return None


class _Finder(MetaPathFinder):
    """Is asked last, for modules that are nowhere else."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        new = _module_today(fullname)
        return None if new is None else ModuleSpec(fullname, _Loader(new), is_package=True)


class _Loader(Loader):
    """Makes a module whose attributes are those of another one.

    Args:
        new: the other one's dotted name.
    """

    def __init__(self, new: str) -> None:
        self._new = new

    def exec_module(self, module: ModuleType) -> None:
        """Warn, and take the attributes from the new module when they are asked for."""
        old = module.__name__
        try:
            today = import_module(self._new)
        except ModuleNotFoundError as error:
            text = f"No module named {old!r}"
            if error.name == BENCHMARKS:
                text += f": it is now {self._new}, which only a clone of the repository has"
            raise ModuleNotFoundError(text, name=old) from error
        warn(old, self._new, stacklevel=3)

        def find(name: str) -> Any:
            new = NAMES.get(f"{old}.{name}")
            return getattr(today, name) if new is None else _import_name(new)

        module.__dict__["__getattr__"] = find
