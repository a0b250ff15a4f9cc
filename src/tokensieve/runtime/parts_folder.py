"""A folder of predictions in parts, which several processes write together, and its manifest.

`manifest.json` says what the records follow from. It is there before the first part, and every process that writes
compares it with its own task. A part that has its name is complete, and is never written again: `part-000000.jsonl`
grows as `part-000000.jsonl.part` and is renamed.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tokensieve.checks import is_whole, read_object
from tokensieve.data.documents import Document
from tokensieve.errors import ConfigError
from tokensieve.runtime.classifier import Classifier
from tokensieve.runtime.fingerprint import Fingerprint, differences
from tokensieve.runtime.part import check_replaceable, part_file, to_disk
from tokensieve.runtime.predict import OutputFormat, is_prediction, write_predictions
from tokensieve.system import system_errors_explained

MANIFEST = "manifest.json"
_WRITTEN = ".manifest-"  # begins the name of a manifest in the making


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a folder of parts holds.

    Attributes:
        fingerprint: what its records follow from.
        format: of the records, "jsonl" or "csv".
        parts: how many parts there are in all; None until a process has read the input to its end.
        documents: documents in all parts; None as `parts`.
        rows: what became of the input's rows, as `Tally.to_dict` has it; None as `parts`.
    """

    fingerprint: Fingerprint
    format: OutputFormat
    parts: int | None = None
    documents: int | None = None
    rows: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class PartsFolder:
    """Where the parts of an output lie, and how their records are written.

    Attributes:
        path: the folder.
        format: of the records.
        tokens: as in `write_predictions`.
        label_separator: as in `write_predictions`.
        root: as in `write_predictions`.
    """

    path: Path
    format: OutputFormat
    tokens: bool = False
    label_separator: str = "|"
    root: Path | None = None

    def place(self, number: int) -> Path:
        """The file of a part."""
        return self.path / f"part-{number:06}.{self.format}"

    def has(self, number: int) -> bool:
        """Whether a part is complete.

        Raises:
            ConfigError: a file that tokensieve did not write has its name.
        """
        place = self.place(number)
        if not place.exists() or not place.stat().st_size:
            return False
        check_replaceable(place, is_prediction)
        return True

    def missing(self, count: int) -> list[int]:
        """The numbers below `count` of the parts that are not complete."""
        return [number for number in range(count) if not self.has(number)]

    def claim(self, fingerprint: Fingerprint) -> Manifest:
        """Make the folder, or find that it holds parts of the same run; its manifest.

        Raises:
            ConfigError: the folder belongs to another run or to somebody else, or its parent does not exist.
            OperatingSystemError: the system refuses to write.
        """
        if not self.path.absolute().parent.is_dir() or (self.path.exists() and not self.path.is_dir()):
            raise ConfigError(f"output {self.path}: give a folder, existing or not, in a folder that exists")
        with system_errors_explained(self.path):
            self.path.mkdir(exist_ok=True)
            place = self.path / MANIFEST
            if not place.exists():
                self._begin(place, Manifest(fingerprint, self.format))
            found = read_manifest(self.path)
        if wrong := differences(found.fingerprint, fingerprint):
            raise ConfigError(
                f"{self.path} holds parts of another run, as this has changed since it was begun: {'; '.join(wrong)}. "
                "Go on as it was begun, or name another folder"
            )
        return found

    def _begin(self, place: Path, manifest: Manifest) -> None:
        """Put the first manifest in its place, unless another process was faster; the folder has to be empty."""
        others = sorted(name for name in os.listdir(self.path) if not name.startswith(_WRITTEN))
        if place.exists():
            return
        if others:
            raise ConfigError(
                f"output {self.path} is not empty and has no {MANIFEST} (it has {others[0]!r}), so nothing is written "
                "there: name another folder"
            )
        new = _written(self.path, manifest)
        try:
            os.link(new, place)  # fails where a manifest is: the first of several processes wins
        except FileExistsError:
            pass
        except OSError:  # a file system without links
            os.replace(new, place)
        finally:
            new.unlink(missing_ok=True)

    def write(self, number: int, classifier: Classifier, documents: Iterable[Document]) -> None:
        """Classify the documents of a part and write it, unless it is complete already.

        Raises:
            ConfigError: as `has` and `part_file`.
            OperatingSystemError: as `part_file`.
        """
        if self.has(number):
            return
        with part_file(self.place(number), is_prediction) as out:
            how: dict[str, Any] = {"label_separator": self.label_separator, "root": self.root}
            write_predictions(classifier, documents, out, self.format, tokens=self.tokens, **how)
            to_disk(out)  # a part that has its name stays complete, whatever happens to the machine

    def finish(self, manifest: Manifest) -> None:
        """Replace the manifest by one that has the counts of the whole input; all processes count the same."""
        with system_errors_explained(self.path):
            os.replace(_written(self.path, manifest), self.path / MANIFEST)


def _written(folder: Path, manifest: Manifest) -> Path:
    """A manifest on the disk, under a name of its own."""
    with tempfile.NamedTemporaryFile("w", dir=folder, prefix=_WRITTEN, delete=False, encoding="utf-8") as file:
        json.dump(asdict(manifest), file, ensure_ascii=False, indent=1)
        file.write("\n")
        to_disk(file)
        os.chmod(file.name, 0o666 & ~_umask())
    return Path(file.name)


def _umask() -> int:
    """The permissions that new files do not get; a temporary file has fewer than another user of the folder needs."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a folder of parts.

    Raises:
        ConfigError: there is none, or the file was not written by tokensieve.
    """
    place = folder / MANIFEST
    try:
        found = Manifest(**read_object(place))
    except FileNotFoundError:
        raise ConfigError(
            f"{folder}: has no {MANIFEST}: name a folder that 'tokensieve predict' wrote parts to"
        ) from None
    except (OSError, ValueError, TypeError):
        found = None
    if found is None or not _is_manifest(found):
        raise ConfigError(f"{place} is no manifest of tokensieve, so nothing is written there: name another folder")
    return found


def _is_manifest(found: Manifest) -> bool:
    counts = (found.parts, found.documents)
    counted = all(is_whole(count, most=2**63) and count >= 0 for count in counts if count is not None)
    fits: Mapping[Any, bool] = {
        "fingerprint": isinstance(found.fingerprint, dict),
        "format": found.format in ("jsonl", "csv"),
        "counts": counted and (None in counts) == (counts == (None, None)),
    }
    return all(fits.values())
