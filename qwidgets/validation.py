"""What a plan does to its network: float and quantized side by side, over data that the plan has not seen.

:func:`validate` runs both on the same batches and compares what comes out, and every tensor on the way. It changes
neither the model nor the plan.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from qwidgets.calibrating.batches import batches_of, call_of, moved
from qwidgets.capturing.rows import Row
from qwidgets.errors import DataError
from qwidgets.integers.program import Parameter
from qwidgets.network import Network, unwrapped
from qwidgets.plan import Plan
from qwidgets.planning.adjustments import Adjustments
from qwidgets.planning.plan_state import Format
from qwidgets.simulation import QuantizedNetwork, recapture

Metric = Callable[[Any, Any], float | Mapping[str, float]]


def validate(model: nn.Module, plan: Plan, data: Iterable[Any], metric: Metric | None = None) -> pd.DataFrame:
    """Compare the network in float with the network under the plan's committed formats. Drafts do not count.

    Parameters
    ----------
    model
        The network that the plan is of.
    plan
        Its committed formats are applied as :func:`qwidgets.quantize` does.
    data
        Batches, as for :func:`qwidgets.calibrate`. What a batch holds beyond the network's inputs are the targets.
    metric
        Called as ``metric(outputs, targets)`` once for float and once for quantized, with the outputs of all batches
        joined along their first dimension, on the CPU, and the targets likewise (None where the batches have none).
        Gives a number, or a dict of numbers by name. Without it: ``top1``, the share of right classes, where the
        targets are integer class labels; else ``agreement``, the share of outputs whose largest value is at the same
        place in both.

    Returns
    -------
    pandas.DataFrame
        Indexed by name. First one row for each number of the metric (kind ``metric``, in the columns ``float`` and
        ``quantized``), then one for the network as a whole (kind ``network``, named as its class: its outputs, and all
        its weights and biases), then one for each tensor of the plan. Columns:

        - ``kind``: metric, network, input, weight, bias or activation;
        - ``format``: the bit window, or "float";
        - ``float``, ``quantized``: the metric;
        - ``sqnr_db``: mean square of the float values over mean square of the error, in dB;
        - ``mean_error``: mean of quantized less float;
        - ``float_bytes``, ``quantized_bytes``: memory of weights and biases, the quantized packed at their word length.

        Where a float value is infinite or NaN it is left out.

    Raises
    ------
    PlanError
        The plan is of another network.
    DataError
        There is no batch, or one cannot be read or fed (its number is named), or the metric raises or gives no number.

    Examples
    --------
    >>> from qwidgets.calibration import calibrate
    >>> from qwidgets.examples import digits
    >>> example = digits()
    >>> plan = calibrate(example.model, example.calibration, progress=False).propose(word_length=8)
    >>> report = validate(example.model, plan, example.test)
    >>> bool(report.loc["top1", "quantized"] > 0.98)
    True
    """
    network = plan.adjustments.applied(recapture(model, plan))
    model = unwrapped(model)
    quantized = QuantizedNetwork(model, network, plan.committed, adjustments=plan.adjustments)
    comparison = _Comparison(network, quantized, plan.adjustments)
    outcome = _Outcome([], [], [])
    for index, batch in enumerate(_read(data)):
        try:
            outcome.add(*comparison.run(model, batch))
        except Exception as error:
            raise DataError(f"batch {index} cannot be fed to {network.name}: {error}") from error
    measured = outcome.measure(metric)
    sizes = {row.name: _bytes(row, plan.committed[row.name]) for row in network.rows}
    before, after = zip(*(pair for pair in sizes.values() if pair), strict=True) if any(sizes.values()) else ((), ())
    records = [
        *(_record(name, "metric", numbers=numbers) for name, numbers in measured.items()),
        _record(network.name, "network", errors=comparison.output, sizes=(sum(before), sum(after))),
        *(
            _record(
                row.name,
                row.kind,
                fmt=str(plan.committed[row.name] or "float"),
                errors=comparison.errors[row.name],
                sizes=sizes[row.name],
            )
            for row in network.rows
        ),
    ]
    return pd.DataFrame.from_records(records, index="name").astype({"float_bytes": "Int64", "quantized_bytes": "Int64"})


class _Errors:
    """Sums from which the SQNR and the mean error of one tensor follow."""

    def __init__(self) -> None:
        self._sums: Tensor | float = 0.0

    def add(self, reference: Tensor, value: Tensor) -> None:
        """Count the values of one batch; nothing waits for the device."""
        if not reference.is_floating_point():
            return
        finite = reference.isfinite()
        error = torch.where(finite, value - reference, 0)
        signal = torch.where(finite, reference, 0)
        squares = (torch.linalg.vector_norm(part, dtype=torch.float64) ** 2 for part in (signal, error))
        self._sums = self._sums + torch.stack([*squares, error.sum(dtype=torch.float64), finite.sum()])

    def summary(self) -> tuple[float, float]:
        """Give the SQNR in dB and the mean error."""
        if not isinstance(self._sums, Tensor):
            return math.nan, math.nan
        signal, noise, error, count = self._sums.tolist()
        if not count:
            return math.nan, math.nan
        if not noise:
            return math.inf, 0.0
        return (10 * math.log10(signal / noise) if signal else -math.inf), error / count


class _Comparison:
    """Runs a network and its quantized form on the same batches, and compares each tensor on the way."""

    def __init__(self, network: Network, quantized: QuantizedNetwork, adjustments: Adjustments) -> None:
        self.errors = {row.name: _Errors() for row in network.rows}
        self.output = _Errors()
        self._network = network
        self._quantized = quantized
        self._adjustments = adjustments
        for row, values in network.parameters.items():
            self.errors[row].add(values, quantized.values(Parameter(row)))

    def run(self, model: nn.Module, batch: Any) -> tuple[Any, Any, Any]:
        """Give the outputs in float and quantized, and the targets of the batch."""
        batch = moved(batch, self._quantized.device)
        args, kwargs = call_of(model, batch)
        reference: dict[str, Tensor] = {}
        # Copies, since later operations may overwrite what is shown.
        scaled = self._adjustments.scaled
        outputs = self._network.run(
            args, kwargs, lambda row, values: reference.update({row: scaled(row, values.clone())})
        )
        quantized = self._quantized.run(
            args, kwargs, lambda row, values: self.errors[row].add(reference.pop(row), values)
        )
        for value, its in zip(pytree.tree_leaves(outputs), pytree.tree_leaves(quantized), strict=True):
            if isinstance(value, Tensor):
                self.output.add(value, its)
        return outputs, quantized, _targets(batch, (args, kwargs))


@dataclass
class _Outcome:
    """The outputs and targets of all batches, on the CPU."""

    outputs: list[Any]
    quantized: list[Any]
    targets: list[Any]

    def add(self, outputs: Any, quantized: Any, targets: Any) -> None:
        """Keep those of one batch."""
        for kept, new in ((self.outputs, outputs), (self.quantized, quantized), (self.targets, targets)):
            kept.append(pytree.tree_map(lambda leaf: leaf.cpu() if isinstance(leaf, Tensor) else leaf, new))

    def measure(self, metric: Metric | None) -> dict[str, tuple[float, float]]:
        """Give each number of a metric, in float and quantized."""
        if not self.outputs:
            raise DataError("there is no batch to validate with")
        outputs, quantized, targets = map(_joined, (self.outputs, self.quantized, self.targets))
        if metric is None:
            if _are_labels(targets, outputs):
                return {"top1": (_share_equal(outputs, targets), _share_equal(quantized, targets))}
            if isinstance(outputs, Tensor) and outputs.ndim > 1 and outputs.shape[1] > 1:
                return {"agreement": (1.0, _share_equal(quantized, outputs.argmax(1)))}
            return {}
        before, after = (_numbers(metric, given, targets) for given in (outputs, quantized))
        if before.keys() != after.keys():
            raise DataError(
                f"the metric gave {sorted(before)} for the float outputs, {sorted(after)} for the quantized"
            )
        return {name: (number, after[name]) for name, number in before.items()}


def _read(data: Iterable[Any]) -> Iterator[Any]:
    """Give the batches, and name the one that cannot be read."""
    batches = batches_of(data)
    for index in itertools.count():
        try:
            batch = next(batches)
        except StopIteration:
            return
        except Exception as error:
            raise DataError(f"batch {index} cannot be read: {error}") from error
        yield batch


def _targets(batch: Any, call: Any) -> Any:
    """Give what a batch holds beyond what the network was fed; None if there is nothing."""
    used = {id(leaf) for leaf in pytree.tree_leaves(call)}

    def is_left(part: Any) -> bool:
        return not any(id(leaf) in used for leaf in pytree.tree_leaves(part))

    if isinstance(batch, Mapping):
        left: Any = {key: value for key, value in batch.items() if is_left(value)}
        return next(iter(left.values())) if len(left) == 1 else left or None
    if isinstance(batch, list | tuple):
        left = tuple(part for part in batch if is_left(part))
        return left[0] if len(left) == 1 else left or None
    return None


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


def _share_equal(outputs: Tensor, classes: Tensor) -> float:
    return (outputs.argmax(1) == classes).double().mean().item()


def _numbers(metric: Metric, outputs: Any, targets: Any) -> dict[str, float]:
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


def _record(
    name: str,
    kind: str,
    *,
    fmt: str = "",
    numbers: tuple[float, float] = (math.nan, math.nan),
    errors: _Errors | None = None,
    sizes: tuple[int, int] | None = None,
) -> dict[str, Any]:
    sqnr_db, mean_error = errors.summary() if errors else (math.nan, math.nan)
    return {
        "name": name,
        "kind": kind,
        "format": fmt,
        "float": numbers[0],
        "quantized": numbers[1],
        "sqnr_db": sqnr_db,
        "mean_error": mean_error,
        "float_bytes": sizes[0] if sizes else None,
        "quantized_bytes": sizes[1] if sizes else None,
    }


def _bytes(row: Row, fmt: Format) -> tuple[int, int] | None:
    """Give the memory of a weight or bias, in float and packed at its word length."""
    if row.kind not in ("weight", "bias"):
        return None
    count = math.prod(size or 1 for size in row.shape)
    return 4 * count, 4 * count if fmt is None else -(-count * fmt.word_length // 8)
