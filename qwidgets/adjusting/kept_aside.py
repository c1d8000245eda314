"""Part of the data that a step does not look at while it works, kept aside to judge by it what it has done.

What fits the data that it was made for may fit nothing else, and only other data tell. So every step looks at three
quarters of what it is given, and keeps of its changes what does better on the last quarter.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.utils import _pytree as pytree

from qwidgets.errors import DataError
from qwidgets.feeding import Fed, fed
from qwidgets.network import Network, TensorSpec, unwrapped
from qwidgets.simulation import QuantizedNetwork, device_of
from qwidgets.tuning import Adjustments, Format, PlanState
from qwidgets.validation import FloatReference

ONE_IN = 4
"""One batch of so many is kept aside; of fewer batches, one sample of so many in each."""

SURE = 1.5
"""A gain on the samples kept aside counts where its mean is more than so many of the mean's standard errors: else, with
few samples, one layer or channel in three would be changed for nothing."""


@dataclasses.dataclass(frozen=True)
class Divided:
    """The batches of some data, on the model's device.

    Attributes
    ----------
    seen
        What a step goes by.
    aside
        What it is judged by.
    samples
        How many samples that are.
    """

    seen: list[Fed]
    aside: list[Fed]
    samples: int

    @property
    def leaves(self) -> list[list[Any]]:
        """The flat arguments of each batch, those that are seen first."""
        return [batch.leaves for batch in (*self.seen, *self.aside)]


def divide(network: Network, model: nn.Module, data: Iterable[Any]) -> Divided:
    """Read data and keep part of it aside: whole batches where there are enough, else the last samples of each.

    Raises
    ------
    DataError
        There is no batch, or one cannot be read or fed: its number is named. Or there is one batch only, and it cannot
        be divided: it is one sample, or its size is fixed by the network's code.
    """
    batches = list(fed(network, unwrapped(model), data, device_of(model)))
    if len(batches) >= ONE_IN:
        seen = [batch for place, batch in enumerate(batches) if place % ONE_IN != 1]
        aside = batches[1::ONE_IN]
    else:
        parts = [_parts(network, batch) for batch in batches]
        seen, aside = [first for first, _ in parts], [second for _, second in parts if second is not None]
    if not aside and len(batches) == 1:
        raise DataError(
            "the data is one batch, of which nothing can be kept aside to judge the step by; give two batches at least "
            "or, where the network takes batches of any size, two samples in the one"
        )
    if not aside:
        seen, aside = seen[:-1], seen[-1:]
    return Divided(seen, aside, sum(_samples(network, batch) or 1 for batch in aside))


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The SQNR of a network's output, of the worst one where there are several, on the data that were kept aside.

    Attributes
    ----------
    is_sure
        Whether the error of the outputs changed by more than chance would have it, sample beside sample.

    Examples
    --------
    >>> str(Verdict(18.04, 19.31, 32))
    'output SQNR 18.0 -> 19.3 dB on 32 samples kept aside'
    """

    before: float
    after: float
    samples: int
    is_sure: bool = True

    @property
    def gain(self) -> float:
        """How much better it is there."""
        return self.after - self.before

    @property
    def is_better(self) -> bool:
        """Whether the step did any good there."""
        return self.gain > 0

    @property
    def counted(self) -> str:
        """How many samples there were, in words."""
        return f"{self.samples} sample{'' if self.samples == 1 else 's'}"

    def __str__(self) -> str:
        return f"output SQNR {self.before:.1f} -> {self.after:.1f} dB on {self.counted} kept aside"


class Judging:
    """Judges what a step does to a whole network, computed exactly, by the data that are kept aside.

    Parameters
    ----------
    network
        As the plan has adjusted it.

    Raises
    ------
    DataError
        The network cannot compute a batch.
    """

    def __init__(self, model: nn.Module, network: Network, plan: PlanState, divided: Divided) -> None:
        self._model = unwrapped(model)
        self._divided = divided
        self._outcome = FloatReference(_nothing, network, divided.aside)
        self._before, self._errors = self._judged(network, plan.committed, plan.adjustments)

    def verdict(self, network: Network, formats: Mapping[str, Format], adjustments: Adjustments) -> Verdict:
        """Judge other formats and adjustments, and the network that is adjusted so."""
        after, errors = self._judged(network, formats, adjustments)
        return Verdict(self._before, after, self._divided.samples, bool(surely_less(errors, self._errors)))

    def _judged(
        self, network: Network, formats: Mapping[str, Format], adjustments: Adjustments
    ) -> tuple[float, Tensor]:
        """Give the SQNR, and the error of each sample."""
        quantized = QuantizedNetwork(self._model, network, formats, adjustments=adjustments)
        given = [quantized.run(batch.args, batch.kwargs) for batch in self._divided.aside]
        return self._outcome.of(given)["sqnr_db"], self._outcome.noise_by_sample(given)


def surely_less(errors: Tensor, present: Tensor) -> Tensor:
    """Tell whether errors are less than those at present by more than chance would have it, sample beside sample.

    Parameters
    ----------
    errors, present
        Of each sample in the first dimension.

    Examples
    --------
    >>> import torch
    >>> surely_less(torch.tensor([[1.0, 1.0], [2.0, 4.0]]), torch.tensor([[1.2, 3.0], [2.3, 3.0]]))
    tensor([ True, False])
    """
    gains = present - errors
    mean = gains.mean(0)
    if len(gains) == 1:
        return mean > 0
    return mean > SURE * gains.std(0) / math.sqrt(len(gains))


def _nothing(outputs: Any, targets: Any) -> dict[str, float]:
    """Judge by the SQNR alone."""
    return {}


def _parts(network: Network, batch: Fed) -> tuple[Fed, Fed | None]:
    """Divide the samples of a batch; all stay in the first part where they are too few, or their number is fixed."""
    size = _samples(network, batch)
    if size < 2:
        return batch, None
    free, structure = _free(network)

    def part(samples: slice) -> Fed:
        leaves = [leaf[samples] if is_free else leaf for leaf, is_free in zip(batch.leaves, free, strict=True)]
        args, kwargs = pytree.tree_unflatten(leaves, structure)
        targets = pytree.tree_map(lambda leaf: _cut(leaf, size, samples), batch.targets)
        return Fed(args, kwargs, leaves, targets, batch.index)

    kept = size - max(size // ONE_IN, 1)
    return part(slice(kept)), part(slice(kept, None))


def _cut(target: Any, size: int, samples: slice) -> Any:
    """Give the targets of some samples, where there is one for each."""
    return target[samples] if isinstance(target, Tensor) and target.shape[:1] == (size,) else target


def _samples(network: Network, batch: Fed) -> int:
    """Give the number of samples in a batch; 0 where that cannot be told."""
    free, _ = _free(network)
    sizes = {len(leaf) for leaf, is_free in zip(batch.leaves, free, strict=True) if is_free}
    return sizes.pop() if len(sizes) == 1 else 0


def _free(network: Network) -> tuple[list[bool], pytree.TreeSpec]:
    """Tell which of the flat arguments have a first dimension of any length, and the structure that they came in."""
    call = (network.inputs.args, network.inputs.kwargs)
    specs, structure = pytree.tree_flatten(call, is_leaf=lambda value: isinstance(value, TensorSpec))
    return [isinstance(spec, TensorSpec) and spec.shape[:1] == (None,) for spec in specs], structure
