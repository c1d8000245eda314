"""The outputs of a network in float, kept to judge those of its quantized forms by."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from qwidgets.feeding import Fed, not_fed
from qwidgets.network import Network
from qwidgets.validation.class_axis import class_axis
from qwidgets.validation.metrics import Judge, Metric
from qwidgets.validation.output_errors import OutputErrors, judged
from qwidgets.validation.quantization_error import as_real, finite_errors


class FloatReference:
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
        Of the numbers that outputs are judged by: ``sqnr_db``, of the worst output; where there are several, that of
        each, such as ``output[1]_sqnr_db``; and those of the metric.

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
        self._judge = Judge(metric, self._outputs, [batch.targets for batch in batches], class_axis(network))
        names = list(judged(self._outputs[0]))
        self._several = len(names) > 1
        each = [f"{name}_sqnr_db" for name in names] if self._several else []
        self.names = ("sqnr_db", *each, *self._judge.in_float)

    def of(self, outputs: Iterable[Any]) -> dict[str, float]:
        """Judge what another form of the network gives for each of the batches."""
        kept: list[Any] = []
        errors = self._errors(outputs, kept)
        each = {f"{name}_sqnr_db": sqnr_db for name, sqnr_db in errors.sqnr_db.items()} if self._several else {}
        return {"sqnr_db": errors.worst.sqnr_db, **each, **self._judge.of(kept)}

    def noise(self, outputs: Iterable[Any]) -> dict[str, float]:
        """Give the squared error of each output as a share of its squared values, over all batches, by its name."""
        return {name: errors.relative_noise for name, errors in self._errors(outputs, []).each.items()}

    def noise_by_sample(self, outputs: Sequence[Any]) -> Tensor:
        """Give the squared error of each sample as a share of the outputs' squared values, summed over the outputs.

        A batch of which an output has another number of places in its first dimension counts as one sample.

        Returns
        -------
        Tensor
            float64, (samples of all batches,).
        """
        signal: dict[str, float] = {}
        noise: list[dict[str, Tensor]] = []
        for reference, its in zip(map(judged, self._outputs), map(judged, outputs), strict=True):
            sizes = {value.shape[:1] for value in reference.values()}
            samples = next(iter(sizes))[0] if len(sizes) == 1 and next(iter(sizes)) else 1
            noise.append({})
            for name, value in reference.items():
                values, error, _ = finite_errors(as_real(value), as_real(its[name]))
                signal[name] = signal.get(name, 0.0) + float(values.square().sum())
                noise[-1][name] = error.square().reshape(samples, -1).sum(1).cpu()
        shares = [[errors / (signal[name] or 1.0) for name, errors in batch.items()] for batch in noise]
        return torch.cat([torch.stack(batch).sum(0) if batch else torch.zeros(1) for batch in shares])

    def _errors(self, outputs: Iterable[Any], kept: list[Any]) -> OutputErrors:
        errors = OutputErrors()
        for reference, its in zip(self._outputs, outputs, strict=True):
            errors.add(reference, its)
            kept.append(its)
        return errors
