"""What outputs are judged by: the user's metric, or the one that suits the outputs and targets."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from qwidgets.errors import DataError

Metric = Callable[[Any, Any], float | Mapping[str, float]]


class Judge:
    """Judges the outputs of all batches, beside those of the network in float.

    Parameters
    ----------
    metric
        Called as ``metric(outputs, targets)`` with what all batches gave, joined along the first dimension, on the CPU.
        Without it: ``top1``, the share of right classes, where the targets are integer class labels; else
        ``agreement``, the share of outputs whose largest value is where it is in float; else nothing.
    outputs, targets
        Of each batch.

    Attributes
    ----------
    in_float
        The numbers, by name, of the network in float.

    Raises
    ------
    DataError
        There is no batch, or the metric raises or gives no number.
    """

    def __init__(self, metric: Metric | None, outputs: list[Any], targets: list[Any]) -> None:
        if not outputs:
            raise DataError("there is no batch to validate with")
        self._metric = metric
        self._targets = _joined(_on_cpu(targets))
        self._classes: Tensor | None = None
        joined = _joined(_on_cpu(outputs))
        self._name = "metric" if metric is not None else ""
        if metric is None and _are_labels(self._targets, joined):
            self._name, self._classes = "top1", self._targets
        elif metric is None and isinstance(joined, Tensor) and joined.ndim > 1 and joined.shape[1] > 1:
            self._name, self._classes = "agreement", joined.argmax(1)
        self.in_float = self._numbers(joined)

    def of(self, outputs: list[Any]) -> dict[str, float]:
        """Give the numbers, by name, of what another form of the network gave for the same batches.

        Raises
        ------
        DataError
            The metric raises, gives no number, or other numbers than for the network in float.
        """
        found = self._numbers(_joined(_on_cpu(outputs))) if self._name else {}
        if found.keys() != self.in_float.keys():
            raise DataError(
                f"the metric gave {sorted(self.in_float)} for the float outputs, {sorted(found)} for the quantized"
            )
        return found

    def _numbers(self, outputs: Any) -> dict[str, float]:
        if self._metric is not None:
            return _call(self._metric, outputs, self._targets)
        if self._classes is None:
            return {}
        return {self._name: (outputs.argmax(1) == self._classes).double().mean().item()}


def _on_cpu(batches: list[Any]) -> list[Any]:
    return [pytree.tree_map(lambda leaf: leaf.cpu() if isinstance(leaf, Tensor) else leaf, batch) for batch in batches]


def _joined(batches: list[Any]) -> Any:
    """Join what batches hold, tensor by tensor, along their first dimension; anything else becomes a list."""

    def join(*leaves: Any) -> Any:
        whole = all(isinstance(leaf, Tensor) and leaf.ndim for leaf in leaves)
        return torch.cat(leaves) if whole else None if leaves[0] is None else list(leaves)

    return pytree.tree_map(join, *batches)


def _are_labels(targets: Any, outputs: Any) -> bool:
    """Whether the targets are the numbers of classes, for each of which the outputs have a score."""
    if not isinstance(targets, Tensor) or not isinstance(outputs, Tensor) or outputs.ndim < 2:
        return False
    integers = not (targets.is_floating_point() or targets.is_complex() or targets.dtype == torch.bool)
    return integers and targets.shape == outputs.argmax(1).shape


def _call(metric: Metric, outputs: Any, targets: Any) -> dict[str, float]:
    """Call the user's metric and give its numbers by name."""
    name = getattr(metric, "__name__", "metric").strip("<>").replace("lambda", "metric")
    try:
        given = metric(outputs, targets)
    except Exception as error:
        raise DataError(f"the metric {name} failed: {type(error).__name__}: {error}") from error
    numbers = dict(given) if isinstance(given, Mapping) else {name: given}
    try:
        if any(isinstance(number, str) for number in numbers.values()):
            raise TypeError
        return {str(key): float(number) for key, number in numbers.items()}
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"the metric {name} must give a number or a dict of numbers by name, not {given!r}") from error
