"""What outputs are judged by: the user's metric, or the one that suits the outputs and targets."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from qwidgets.errors import DataError
from qwidgets.user_warning import warn_user

Metric = Callable[[Any, Any], float | Mapping[str, float]]

SHARES = {"top1": "top-1", "agreement": "agreement"}
"""What is chosen where nobody gave a measure, and how people call it: shares of the samples."""

NO_CLASS = 255
"""What masks of segmentation have where nothing is labelled; elsewhere a negative number says so."""


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
    class_axis
        The dimension of the outputs along which classes lie, by the network's graph; None where that cannot be told.

    Attributes
    ----------
    in_float
        The numbers, by name, of the network in float.

    Raises
    ------
    DataError
        There is no batch, or the metric raises or gives no number.
    """

    def __init__(
        self, metric: Metric | None, outputs: list[Any], targets: list[Any], class_axis: int | None = None
    ) -> None:
        if not outputs:
            raise DataError("there is no batch to validate with")
        self._metric = metric
        self._name = "metric" if metric is not None else ""
        outputs, targets = _on_cpu(outputs), _on_cpu(targets)
        self._targets = _joined(targets) if metric is not None else None
        self._classes: list[Tensor] = []
        self._axis = 1
        if metric is None and all(isinstance(output, Tensor) and output.is_floating_point() for output in outputs):
            self._choose(outputs, targets, class_axis)
        self.in_float = self._numbers(outputs)

    def of(self, outputs: list[Any]) -> dict[str, float]:
        """Give the numbers, by name, of what another form of the network gave for the same batches.

        Raises
        ------
        DataError
            The metric raises, gives no number, or other numbers than for the network in float.
        """
        found = self._numbers(_on_cpu(outputs)) if self._name else {}
        if found.keys() != self.in_float.keys():
            raise DataError(
                f"the metric gave {sorted(self.in_float)} for the float outputs, {sorted(found)} for the quantized"
            )
        return found

    def _choose(self, outputs: list[Tensor], targets: list[Any], class_axis: int | None) -> None:
        """Choose a metric, and the dimension of the classes: by the labels, by the graph, by who agrees with whom."""
        axes = [axis for axis in range(1, outputs[0].ndim) if _are_labels(outputs, targets, axis)]
        if len(axes) > 1:
            shares = {axis: _share(outputs, targets, axis) for axis in axes}
            best = [axis for axis in axes if shares[axis] == max(shares.values())]
            axes = [class_axis] if class_axis in axes else best
        if len(axes) == 1:
            self._name, self._axis, self._classes = "top1", axes[0], targets
        elif axes or (class_axis is None and outputs[0].ndim > 2 and not _are_floats(targets)):
            warn_user(
                f"outputs of shape {tuple(outputs[0].shape)} do not tell which dimension is that of the classes, so "
                "only the SQNR is measured; pass a metric: lambda outputs, targets: ..."
            )
        elif outputs[0].ndim > 1:
            axis = 1 if class_axis is None or class_axis >= outputs[0].ndim else class_axis
            if axis and all(output.ndim > axis and output.shape[axis] > 1 for output in outputs):
                self._name, self._axis = "agreement", axis
                self._classes = [output.argmax(axis) for output in outputs]

    def _numbers(self, outputs: list[Any]) -> dict[str, float]:
        if self._metric is not None:
            return _call(self._metric, _joined(outputs), self._targets)
        return {self._name: _share(outputs, self._classes, self._axis)} if self._name else {}


def _on_cpu(batches: list[Any]) -> list[Any]:
    return [pytree.tree_map(lambda leaf: leaf.cpu() if isinstance(leaf, Tensor) else leaf, batch) for batch in batches]


def _joined(batches: list[Any]) -> Any:
    """Join what batches hold, tensor by tensor, along their first dimension; what cannot be joined becomes a list."""

    def join(*leaves: Any) -> Any:
        whole = all(isinstance(leaf, Tensor) and leaf.ndim for leaf in leaves)
        if whole and all(leaf.shape[1:] == leaves[0].shape[1:] for leaf in leaves):
            return torch.cat(leaves)
        return None if leaves[0] is None else list(leaves)

    return pytree.tree_map(join, *batches)


def _are_floats(targets: Sequence[Any]) -> bool:
    return all(isinstance(target, Tensor) and target.is_floating_point() for target in targets)


def _are_labels(outputs: Sequence[Tensor], targets: Sequence[Any], axis: int) -> bool:
    """Whether the targets of all batches are numbers of classes, for each of which outputs have a score on an axis."""
    known = 0
    for output, labels in zip(outputs, targets, strict=True):
        if not isinstance(labels, Tensor) or output.ndim <= axis or output.shape[axis] < 2:
            return False
        if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
            return False
        if labels.shape not in (_without(output.shape, axis), (*output.shape[:axis], 1, *output.shape[axis + 1 :])):
            return False
        given = labels[_labelled(labels, output.shape[axis])]
        if given.numel() and int(given.max()) >= output.shape[axis]:
            return False
        known += given.numel()
    return known > 0


def _share(outputs: Sequence[Tensor], classes: Sequence[Tensor], axis: int) -> float:
    """Give the share of places, of those that have a class, at which the largest value on an axis is that class's."""
    right = total = 0
    for output, wanted in zip(outputs, classes, strict=True):
        wanted = wanted.reshape(_without(output.shape, axis)).long()
        counted = _labelled(wanted, output.shape[axis])
        right += int((output.argmax(axis) == wanted)[counted].sum())
        total += int(counted.sum())
    return right / total


def _labelled(labels: Tensor, classes: int) -> Tensor:
    """Where labels name a class: not where a negative number, or 255, says that nothing is known."""
    known = labels >= 0
    return known & (labels != NO_CLASS) if classes <= NO_CLASS else known


def _without(shape: Sequence[int], axis: int) -> tuple[int, ...]:
    return (*shape[:axis], *shape[axis + 1 :])


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
