"""The outputs of a network in float, kept to judge those of its quantized forms by."""

from collections.abc import Iterable, Sequence
from typing import Any

from qwidgets.network import Network
from qwidgets.validating.errors import Errors
from qwidgets.validating.feeding import Fed, not_fed
from qwidgets.validating.metrics import Judge, Metric


class Outcome:
    """What a network gives in float for some batches.

    Parameters
    ----------
    metric
        As for `qwidgets.validation.validate`.
    network, batches
        What is run on what.

    Attributes
    ----------
    names
        Of the numbers that outputs are judged by: ``sqnr_db`` and those of the metric.

    Raises
    ------
    DataError
        The network cannot compute a batch, or the metric fails.
    """

    def __init__(self, metric: Metric | None, network: Network, batches: Sequence[Fed]) -> None:
        self._outputs: list[Any] = []
        for index, batch in enumerate(batches):
            try:
                self._outputs.append(network.run(batch.args, batch.kwargs, lambda row, values: None))
            except Exception as error:
                raise not_fed(network, index, error) from error
        self._judge = Judge(metric, self._outputs, [batch.targets for batch in batches])
        self.names = ("sqnr_db", *self._judge.in_float)

    def of(self, outputs: Iterable[Any]) -> dict[str, float]:
        """Judge what another form of the network gives for each of the batches."""
        errors, kept = Errors(), []
        for reference, its in zip(self._outputs, outputs, strict=True):
            errors.add_outputs(reference, its)
            kept.append(its)
        return {"sqnr_db": errors.sqnr_db, **self._judge.of(kept)}

    def noise(self, outputs: Iterable[Any]) -> float:
        """Give the sum of the squared errors of what another form of the network gives for each of the batches."""
        errors = Errors()
        for reference, its in zip(self._outputs, outputs, strict=True):
            errors.add_outputs(reference, its)
        return errors.noise
