"""A network in float and its quantized form, run on the same batch, tensor beside tensor."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from qwidgets.feeding import Fed
from qwidgets.network import Network, Operation, evaluate
from qwidgets.simulation import QuantizedNetwork
from qwidgets.tuning import Adjustments

Compare = Callable[[str, Tensor, Tensor], object]
"""Called with a row's name, its values in float, scaled as the plan says, and its quantized values."""


def run_both(
    network: Network, quantized: QuantizedNetwork, adjustments: Adjustments, batch: Fed, compare: Compare
) -> tuple[Any, Any]:
    """Run a batch through a network and through its quantized form.

    Parameters
    ----------
    network
        As it was captured.
    quantized, adjustments
        The quantized form, and how the plan has adjusted it.
    compare
        Called for each input and activation row.

    Returns
    -------
    The outputs of both, in the model's structure.
    """
    values: dict[Operation, Any] = {}
    floating = evaluate(network, network.flatten(batch.args, batch.kwargs), values, lambda value: value)

    def observe(row: str, its: Tensor) -> None:
        # In float as far as that tensor, too: neither side keeps what it does not read any more.
        operation = next(operation for operation in floating if operation.slot == row)
        compare(row, adjustments.scaled(row, values[operation]), its)

    outputs = quantized.run(batch.args, batch.kwargs, observe)
    last = next(operation for operation in floating if operation is network.output)
    leaves = (values[leaf] if isinstance(leaf, Operation) else leaf for leaf in last.args[0])
    return network.unflatten(leaves), outputs
