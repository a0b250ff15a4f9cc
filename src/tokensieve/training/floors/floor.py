"""What a fitted floor gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Floor:
    """Answers of a fitted floor to the validation documents [N, C], and what it tells of itself."""

    logits: NDArray[np.float32]
    documents_per_second: float
    facts: dict[str, Any]
