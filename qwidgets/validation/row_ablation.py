"""A network under its plan with the formats of some rows changed: what sensitivity and all that tries things ask."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn

from qwidgets.feeding import fed
from qwidgets.network import unwrapped
from qwidgets.simulation import Accumulator, PartialRun, captured, device_of
from qwidgets.tuning import ACCUMULATOR_BITS, Format, PlanState
from qwidgets.validation.float_reference import FloatReference
from qwidgets.validation.metrics import Metric


class Outcome(NamedTuple):
    """What formats do to the outputs of a network.

    Attributes
    ----------
    figures
        The SQNR, and the numbers of a metric, by name; see `FloatReference`.
    errors
        Of each sample; see `FloatReference.noise_by_sample`.
    """

    figures: dict[str, float]
    errors: Tensor


class RowAblation:
    """What some formats do to a network's outputs over some data.

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

    def whole(self) -> Outcome:
        """Give the outcome with all rows quantized."""
        self._quantized.advance(0)
        return self.judged(self._quantized.outputs(self._quantized.program))

    @property
    def accumulators(self) -> Mapping[str, Accumulator]:
        """The registers that the sums of the quantized network were computed in, by row."""
        return self._quantized.program.accumulators

    def alone(self, *rows: str) -> Outcome:
        """Give the outcome with some rows quantized and all others in float."""
        return self.judged(self._in_float.changed({row: self._formats[row] for row in rows}))

    def changed(self, formats: Mapping[str, Format]) -> Outcome:
        """Give the outcome with other formats of some rows, None for those in float."""
        return self.judged(self._quantized.changed(formats))

    def judged(self, outputs: Iterable[Any]) -> Outcome:
        """Judge what another form of the network gives for each of the batches."""
        given = list(outputs)
        return Outcome(self._outcome.of(given), self._outcome.noise_by_sample(given))
