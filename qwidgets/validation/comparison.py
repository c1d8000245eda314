"""A network in float and under its plan, side by side, tensor by tensor: what :func:`validate` shows."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from qwidgets.feeding import Fed, fed, not_fed
from qwidgets.formats import AccumulatorFormat
from qwidgets.network import Network, unwrapped
from qwidgets.shown_table import ShownTable
from qwidgets.simulation import Parameter, QuantizedNetwork, captured
from qwidgets.tuning import ACCUMULATOR_BITS, Adjustments, Format, PlanState
from qwidgets.validation.class_axis import class_axis
from qwidgets.validation.metrics import Judge, Metric
from qwidgets.validation.output_errors import OutputErrors
from qwidgets.validation.quantization_error import QuantizationError
from qwidgets.validation.side_by_side import run_both
from qwidgets.validation.sizes import parameter_bytes


def validate(
    model: nn.Module,
    plan: PlanState,
    data: Iterable[Any],
    metric: Metric | None = None,
    accumulator_bits: int = ACCUMULATOR_BITS,
) -> pd.DataFrame:
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
        joined along their first dimension (a list of them where other dimensions differ), on the CPU, and the targets
        likewise (None where the batches have none). Gives a number, or a dict of numbers by name. Without it: ``top1``,
        the share of right classes, where the targets are integer class labels; else ``agreement``, the share of outputs
        whose largest value is at the same place in both. The dimension of the classes is the one that the labels leave
        out or, where that may be several, or there are no labels, that of the channels of the network's last layer. A
        negative label, or 255 beside fewer classes, names no class and is left out.

    accumulator_bits
        As for :func:`qwidgets.quantize`.

    Returns
    -------
    pandas.DataFrame
        Indexed by name. First one row for each number of the metric (kind ``metric``, in the columns ``float`` and
        ``quantized``), then one for the network as a whole (kind ``network``, named as its class: the worst of its
        outputs, and all its weights and biases), then, where it has several outputs of floats, one for each of them
        (kind ``output``, named by its place: ``output[1]``, ``output['boxes']``), then one for each tensor of the plan.
        Columns:

        - ``kind``: metric, network, output, input, weight, bias or activation;
        - ``format``: the bit window, or "float";
        - ``float``, ``quantized``: the metric;
        - ``sqnr_db``: mean square of the float values over mean square of the error, in dB;
        - ``mean_error``: mean of quantized less float;
        - ``float_bytes``, ``quantized_bytes``: memory of weights and biases, the quantized packed at their word length;
        - ``float_because``: why a tensor is computed in float although it could have a format, or has one: its
          operation has no integer form, or reads something in float, or it is a bias without an accumulator;
        - ``accumulator_overflows``: how many sums did not fit the accumulator that the tensor is computed in.

        Where a float value is infinite or NaN it is left out.

    Raises
    ------
    PlanError
        The plan is of another network, or no accumulator has that width.
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
    return compare(captured(model, plan), model, plan, data, metric, accumulator_bits)


def compare(
    network: Network,
    model: nn.Module,
    plan: PlanState,
    data: Iterable[Any],
    metric: Metric | None = None,
    accumulator_bits: int = ACCUMULATOR_BITS,
) -> pd.DataFrame:
    """Do what :func:`validate` does with a network that was captured before."""
    model = unwrapped(model)
    adjusted = plan.adjustments.applied(network)
    quantized = QuantizedNetwork(model, adjusted, plan.committed, accumulator_bits, plan.adjustments)
    comparison = _Comparison(network, quantized, plan.adjustments)
    for index, batch in enumerate(fed(network, model, data, quantized.device)):
        try:
            comparison.run(batch)
        except Exception as error:
            raise not_fed(network, index, error) from error
    judge = Judge(metric, comparison.outputs, comparison.targets, class_axis(network))
    numbers = judge.of(comparison.quantized_outputs)
    return _table(
        plan, network, quantized, comparison, {name: (judge.in_float[name], numbers[name]) for name in numbers}
    )


class _Comparison:
    """Runs a network and its quantized form on the same batches, and compares each tensor on the way."""

    def __init__(self, network: Network, quantized: QuantizedNetwork, adjustments: Adjustments) -> None:
        self.errors = {row.name: QuantizationError() for row in network.rows}
        self.output = OutputErrors()
        self.outputs: list[Any] = []
        self.quantized_outputs: list[Any] = []
        self.targets: list[Any] = []
        self._network = network
        self._quantized = quantized
        self._adjustments = adjustments
        for row, values in quantized.network.parameters.items():
            self.errors[row].add(values, quantized.values(Parameter(row)))

    def run(self, batch: Fed) -> None:
        """Compare both on one batch, and keep their outputs and its targets, on the CPU."""

        def compare(row: str, values: Tensor, quantized: Tensor) -> None:
            self.errors[row].add(values, quantized)

        outputs, quantized = run_both(self._network, self._quantized, self._adjustments, batch, compare)
        self.output.add(outputs, quantized)
        kept = (self.outputs, outputs), (self.quantized_outputs, quantized), (self.targets, batch.targets)
        for where, new in kept:
            where.append(pytree.tree_map(lambda leaf: leaf.cpu() if isinstance(leaf, Tensor) else leaf, new))


def _table(
    plan: PlanState,
    network: Network,
    quantized: QuantizedNetwork,
    comparison: _Comparison,
    measured: Mapping[str, tuple[float, float]],
) -> pd.DataFrame:
    formats = plan.committed
    reasons = _reasons(quantized, formats)
    counted = quantized.accumulator_overflows
    overflows = {row: counted.get(row, 0) for row in quantized.program.accumulators}
    sizes = {
        row.name: (parameter_bytes(row, None), parameter_bytes(row, formats[row.name]))
        for row in network.rows
        if row.kind in ("weight", "bias")
    }
    records = [_record(name, "metric", numbers=numbers) for name, numbers in measured.items()]
    records.append(
        _record(
            network.name,
            "network",
            errors=comparison.output.worst,
            sizes=tuple(sum(pair[index] for pair in sizes.values()) for index in (0, 1)),
            overflows=sum(overflows.values()),
        )
    )
    several = comparison.output.each if len(comparison.output.each) > 1 else {}
    records.extend(_record(name, "output", errors=errors) for name, errors in several.items())
    records.extend(
        _record(
            row.name,
            row.kind,
            fmt=str(formats[row.name] or "float"),
            errors=comparison.errors[row.name],
            sizes=sizes.get(row.name, (None, None)),
            reason=reasons.get(row.name, ""),
            overflows=overflows.get(row.name),
        )
        for row in network.rows
    )
    integers = ("float_bytes", "quantized_bytes", "accumulator_overflows")
    return ShownTable.from_records(records, index="name").astype(dict.fromkeys(integers, "Int64"))


def _reasons(quantized: QuantizedNetwork, formats: Mapping[str, Format]) -> dict[str, str]:
    """Tell why rows are computed in float, biases that find no accumulator among them."""
    biases = {
        row: "its layer computes in float, so there is no accumulator whose step it could have"
        for row, fmt in formats.items()
        if isinstance(fmt, AccumulatorFormat) and quantized.program.formats[row] is None
    }
    return {**quantized.float_islands, **biases}


def _record(
    name: str,
    kind: str,
    *,
    fmt: str = "",
    numbers: tuple[float, float] = (math.nan, math.nan),
    errors: QuantizationError | None = None,
    sizes: tuple[int | None, ...] = (None, None),
    reason: str = "",
    overflows: int | None = None,
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
        "float_bytes": sizes[0],
        "quantized_bytes": sizes[1],
        "float_because": reason,
        "accumulator_overflows": overflows,
    }
