"""What quantization does to each output of a network: a network is as good as the worst of its outputs.

Outputs of one network may differ in scale by any factor, boxes in pixels beside scores, so their errors are never
added up: each has an SQNR of its own. Outputs that are no floats (indices, masks, numbers, None) have none.
"""

import math
from typing import Any

from torch import Tensor
from torch.utils import _pytree as pytree

from qwidgets.validation.quantization_error import QuantizationError


class OutputErrors:
    """The errors of each output of a network.

    Attributes
    ----------
    each
        By the output's name as `judged` gives it, in the order in which the network gives them.
    """

    def __init__(self) -> None:
        self.each: dict[str, QuantizationError] = {}

    def add(self, reference: Any, outputs: Any) -> None:
        """Count what the network in float and another form of it gave for one batch."""
        its = judged(outputs)
        for name, value in judged(reference).items():
            self.each.setdefault(name, QuantizationError()).add(value, its[name])

    @property
    def sqnr_db(self) -> dict[str, float]:
        """Of each output, in dB; NaN where it has no finite value."""
        return {name: errors.sqnr_db for name, errors in self.each.items()}

    @property
    def worst(self) -> QuantizationError:
        """The errors of the output whose SQNR is the lowest."""
        counted = [errors for errors in self.each.values() if not math.isnan(errors.sqnr_db)]
        return min(counted, key=lambda errors: errors.sqnr_db, default=QuantizationError())


def judged(outputs: Any) -> dict[str, Tensor]:
    """Give the outputs that have an SQNR, each by its place: ``output[1]``, ``output['boxes']``.

    Examples
    --------
    >>> import torch
    >>> list(judged((torch.ones(2), {"boxes": torch.ones(2), "labels": torch.tensor(3)}, None)))
    ['output[0]', "output[1]['boxes']"]
    >>> list(judged(torch.ones(2)))
    ['output']
    """
    try:
        leaves = [(pytree.keystr(path), leaf) for path, leaf in pytree.tree_leaves_with_path(outputs)]
    except ValueError:  # a container of somebody else's, which does not name its parts
        leaves = [(f"[{place}]", leaf) for place, leaf in enumerate(pytree.tree_leaves(outputs))]
    return {
        f"output{place}": leaf
        for place, leaf in leaves
        if isinstance(leaf, Tensor) and (leaf.is_floating_point() or leaf.is_complex())
    }
