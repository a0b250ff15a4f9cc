"""The method once more, document by document: plain loops, exact fractions, no batch and no padding.

It is the one oracle of the tests. It follows the description of the method, its settings and the backbones sentence by
sentence, and takes no code from the package: only settings, sizes and the names of the parameters are the model's.
"""

from contract.oracle.forward import answers, image_answers, logits
from contract.oracle.rule import floor_share, margin, protected_places, select, select_positions

__all__ = [
    "answers",
    "floor_share",
    "image_answers",
    "logits",
    "margin",
    "protected_places",
    "select",
    "select_positions",
]
