"""A loss of the person's own, learned by and judged by: what it is called with, and what it must give."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from qwidgets.adjusting.kept_aside import Divided, Verdict, surely_less
from qwidgets.errors import DataError
from qwidgets.feeding import Fed
from qwidgets.network import Network, unwrapped
from qwidgets.simulation import QuantizedNetwork
from qwidgets.tuning import Adjustments, Format, PlanState

Loss = Callable[[Any, Any], Tensor]
"""Called as ``loss(outputs, targets)`` with those of a batch; gives a tensor of one number, the less the better."""


def loss_of(loss: Loss, outputs: Any, batch: Fed) -> Tensor:
    """Give the loss of a batch.

    Raises
    ------
    DataError
        The batch has no targets, or the loss raises, or gives no tensor of one number; the text says which batch.
    """
    if batch.targets is None:
        raise DataError(
            f"batch {batch.index} has no targets for the loss; give batches of (inputs, targets), or leave the loss out"
        )
    try:
        found = loss(outputs, batch.targets)
    except Exception as error:
        raise DataError(f"the loss fails on batch {batch.index}: {type(error).__name__}: {error}") from error
    if not isinstance(found, Tensor) or found.numel() != 1 or not found.is_floating_point():
        raise DataError(f"the loss must give a tensor of one number for batch {batch.index}, not {found!r:.80}")
    return found.reshape(())


@dataclasses.dataclass(frozen=True)
class LossVerdict(Verdict):
    """The mean loss on the data that were kept aside, before and after.

    Examples
    --------
    >>> str(LossVerdict(0.82, 0.41, 32)), LossVerdict(0.82, 0.41, 32).is_better
    ('loss 0.82 -> 0.41 on 32 samples kept aside', True)
    """

    @property
    def gain(self) -> float:
        """How much less it is."""
        return self.before - self.after

    def __str__(self) -> str:
        return f"loss {self.before:.4g} -> {self.after:.4g} on {self.counted} kept aside"


class LossJudging:
    """Judges what is learned by the loss itself, of the network in integers, on the data that are kept aside.

    Raises
    ------
    DataError
        As `loss_of`.
    """

    def __init__(self, model: nn.Module, network: Network, plan: PlanState, divided: Divided, loss: Loss) -> None:
        self._model, self._divided, self._loss = unwrapped(model), divided, loss
        self._before = self._judged(network, plan.committed, plan.adjustments)

    def verdict(self, network: Network, formats: Mapping[str, Format], adjustments: Adjustments) -> LossVerdict:
        """Judge other formats and adjustments, and the network that is adjusted so."""
        after = self._judged(network, formats, adjustments)
        is_sure = bool(surely_less(after, self._before))
        return LossVerdict(float(self._before.mean()), float(after.mean()), self._divided.samples, is_sure)

    def _judged(self, network: Network, formats: Mapping[str, Format], adjustments: Adjustments) -> Tensor:
        """Give the loss of each batch."""
        quantized = QuantizedNetwork(self._model, network, formats, adjustments=adjustments)
        losses = (loss_of(self._loss, quantized.run(batch.args, batch.kwargs), batch) for batch in self._divided.aside)
        return torch.stack([loss.double().cpu() for loss in losses])
