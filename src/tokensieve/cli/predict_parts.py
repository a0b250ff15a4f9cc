"""`tokensieve predict --shard` and `--ray`: the output is a folder of parts."""

from __future__ import annotations

import logging
import sys
from collections.abc import Generator, Iterable
from contextlib import closing, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokensieve.cli.options import bar
from tokensieve.cli.predict_task import Task, how_read, report
from tokensieve.cli.signals import terminable
from tokensieve.errors import ConfigError

if TYPE_CHECKING:
    from tokensieve.data import Document
    from tokensieve.ray.cluster import Cluster
    from tokensieve.runtime.classifier import Classifier
    from tokensieve.runtime.parts_folder import Manifest, PartsFolder
    from tokensieve.runtime.shards import Shard

logger = logging.getLogger(__name__)
_Parts = Iterable[tuple[int, "list[Document]"]]


@dataclass(frozen=True, slots=True)
class Spread:
    """Who makes the parts.

    Attributes:
        shard: which parts this command makes.
        cluster: where; None: this process does.
    """

    shard: Shard
    cluster: Cluster | None


def spread_of(shard: str | None, ray: str | None, workers: str | None, threads: int | None) -> Spread | None:
    """What the options of the same names ask for; None: one process writes one file.

    Raises:
        ConfigError: a value that cannot be, or options of Ray without it.
    """
    if ray is None and workers is not None:
        raise ConfigError(f"--workers {workers} is for a Ray cluster: give --ray ADDRESS, or leave it out")
    if shard is None and ray is None:
        return None
    from tokensieve.runtime.shards import Shard

    own = Shard() if shard is None else Shard.parse(shard)
    if ray is None:
        return Spread(own, None)
    from tokensieve.ray.cluster import Cluster, require_ray

    require_ray("tokensieve predict --ray")
    return Spread(own, Cluster.of(ray, workers, threads or 1))


def check_parts(task: Task, output: str, restart: bool) -> None:
    """Refuse what parts cannot be made of, before anything is loaded.

    Raises:
        ConfigError: names the option and the remedy.
    """
    if not task.files:
        raise ConfigError("--shard and --ray: every start reads the input from its beginning; give a file or a folder")
    if output == "-":
        raise ConfigError("--shard and --ray write a folder of parts: name it with --output")
    if restart:
        raise ConfigError(f"--restart: parts are never thrown away; remove {output}, or name another folder")
    if task.load["batch_tokens"] == "auto":
        raise ConfigError("--batch-tokens auto: each process would choose its own, and answers differ; give a number")


def predict_parts(task: Task, output: str, spread: Spread) -> None:
    """Make the parts of a shard that are not there yet, and print the counts."""
    from tokensieve.data import Tally
    from tokensieve.runtime.parts_folder import Manifest, PartsFolder
    from tokensieve.runtime.shards import Unfinished

    folder = PartsFolder(Path(output).absolute(), task.kind, **task.form)
    classifier = task.classifier(**({} if spread.cluster is None else {"device": "cpu"}))
    manifest = folder.claim(fingerprint := task.fingerprint(classifier))
    counts = {"parts": 0, "documents": 0, "truncated": 0}
    if manifest.parts is None or any(spread.shard.has(number) for number in folder.missing(manifest.parts)):
        tally = Tally()
        todo = Unfinished(task.documents(tally), spread.shard, folder.has)
        _make(task, folder, spread, (classifier, fingerprint), todo, counts)
        manifest = Manifest(fingerprint, task.kind, todo.parts, todo.documents, tally.to_dict())
        folder.finish(manifest)
    _report(task, folder, manifest, counts, classifier)


def _make(
    task: Task,
    folder: PartsFolder,
    spread: Spread,
    loaded: tuple[Classifier, dict[str, Any]],
    todo: _Parts,
    counts: dict[str, int],
) -> None:
    """Make parts, and add to the counts what was made."""
    if spread.cluster is None:
        made = _here(loaded[0], folder, todo)
    else:
        made = _on_cluster(task, spread.cluster, folder, *loaded, todo)
    try:
        with (
            redirect_stdout(sys.stderr),  # Ray tells of workers that died on stdout, which is for the counts
            bar(None, "classifying", task.quiet)(None) as progress,
            closing(made),
            terminable(),
        ):
            for documents, truncated in made:
                counts["parts"] += 1
                counts["documents"] += documents
                counts["truncated"] += truncated
                progress.update(documents)
    except BaseException:
        if counts["parts"]:
            logger.warning(
                "%s keeps %d new parts: the same command goes on with the others", folder.path, counts["parts"]
            )
        raise


def _here(classifier: Classifier, folder: PartsFolder, todo: _Parts) -> Generator[tuple[int, int], None, None]:
    """Make parts in this process; documents and truncated documents of each."""
    for number, documents in todo:
        before = classifier.engine.truncated
        folder.write(number, classifier, documents)
        yield len(documents), classifier.engine.truncated - before


def _on_cluster(
    task: Task,
    cluster: Cluster,
    folder: PartsFolder,
    classifier: Classifier,
    fingerprint: dict[str, Any],
    todo: _Parts,
) -> Generator[tuple[int, int], None, None]:
    """As `_here`, on a Ray cluster."""
    from tokensieve.ray.run import make_parts
    from tokensieve.ray.worker import Setup
    from tokensieve.runtime.fingerprint import MODEL

    model = str(Path(task.model).absolute()) if Path(task.model).exists() else task.model
    options = {**task.load, "dtype": classifier.dtype}  # "auto" is decided once, and not on each machine
    setup = Setup(model, options, str(fingerprint[MODEL]).removeprefix("sha256 "), folder, cluster.threads)
    with closing(make_parts(cluster, setup, todo)) as made:
        for done in made:
            yield done.documents, done.truncated


def _report(
    task: Task, folder: PartsFolder, manifest: Manifest, counts: dict[str, int], classifier: Classifier
) -> None:
    total = manifest.parts or 0
    missing = len(folder.missing(total))
    record = {
        "written": counts["documents"],
        "truncated": counts["truncated"],
        "batch_tokens": classifier.engine.budget,
        "dtype": classifier.dtype,
        "rows": manifest.rows,
        "parts": {"made": counts["parts"], "complete": total - missing, "all": total},
    }
    if counts["parts"]:
        done = f"{counts['documents']} documents classified, {counts['truncated']} truncated; {how_read(classifier)}"
    else:
        done = "nothing to do: all parts are there"
    state = "all" if not missing else f"{total - missing} of"
    join = f"; 'tokensieve merge --input {folder.path} --output FILE' joins them" if not missing else ""
    report(
        record, [done, f"{folder.path}: {state} {total} parts are complete{join}"], as_json=task.quiet, on_stderr=False
    )
