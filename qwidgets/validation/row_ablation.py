"""A network under its plan with the format of one row changed at a time: what sensitivity and the short check ask."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn

from qwidgets.feeding import fed
from qwidgets.network import unwrapped
from qwidgets.simulation import Accumulator, PartialRun, captured, device_of
from qwidgets.tuning import ACCUMULATOR_BITS, Format, PlanState
from qwidgets.validation.float_reference import FloatReference
from qwidgets.validation.metrics import Metric


class RowAblation:
    """Figures of a network's outputs over some data: its SQNR, and the numbers of a metric.

    Parameters
    ----------
    model, plan, data, metric
        As for `qwidgets.sensitivity`, with its errors.
    accumulator_bits
        As for `qwidgets.quantize`.

    Attributes
    ----------
    names
        Of the figures.
    """

    def __init__(
        self,
        model: nn.Module,
        plan: PlanState,
        data: Iterable[Any],
        metric: Metric | None,
        accumulator_bits: int = ACCUMULATOR_BITS,
    ) -> None:
        network, device = captured(model, plan), device_of(model)
        # Scaled as the plan says, but without the corrections of biases.
        bare = dataclasses.replace(plan.adjustments, shifts={}).parameters(network.parameters)
        network = plan.adjustments.applied(network)
        batches = list(fed(network, unwrapped(model), data, device))
        leaves = [batch.leaves for batch in batches]
        self._formats = plan.committed
        self._outcome = FloatReference(metric, network, batches)
        self.names = self._outcome.names
        in_float: dict[str, Format] = dict.fromkeys(plan.committed)
        uncorrected = dataclasses.replace(network, parameters=bare)
        self._in_float = PartialRun(uncorrected, plan.adjustments, in_float, leaves, device, accumulator_bits)
        self._quantized = PartialRun(network, plan.adjustments, plan.committed, leaves, device, accumulator_bits)

    def sorted(self, rows: Iterable[str]) -> list[str]:
        """Give rows in the order in which the least is computed again."""
        return sorted(rows, key=self._quantized.start_of)

    def whole(self) -> dict[str, float]:
        """Give the figures with all rows quantized."""
        self._quantized.advance(0)
        return self._outcome.of(self._quantized.outputs(self._quantized.program))

    @property
    def accumulators(self) -> Mapping[str, Accumulator]:
        """The registers that the sums of the quantized network were computed in, by row."""
        return self._quantized.program.accumulators

    def alone(self, row: str) -> dict[str, float]:
        """Give the figures with one row quantized and all others in float."""
        return self._outcome.of(self._in_float.changed(row, self._formats[row]))

    def without(self, row: str) -> dict[str, float]:
        """Give the figures with one row in float and all others quantized."""
        return self._outcome.of(self._quantized.changed(row, None))
