"""The operations of a network computed one by one, for who wants to see each value on the way."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch.utils import _pytree as pytree

from qwidgets.network.autocast import AutocastScope
from qwidgets.network.network import Network
from qwidgets.network.operation import Operation


def evaluate(
    network: Network, leaves: Sequence[Any], values: dict[Operation, Any], place: Callable[[Any], Any]
) -> Iterator[Operation]:
    """Compute a network, and give each operation as soon as what leaves it is there.

    Where the network sets autocast, that holds for its own operations only, and not for what is done between them.

    Parameters
    ----------
    leaves
        The flat arguments of a call.
    values
        Filled with what leaves each operation; what nothing reads any more is taken out before the next.
    place
        Called with each number, tensor and device that an operation is called with, to bring all to one place.

    Examples
    --------
    >>> import torch
    >>> from qwidgets.network import capture
    >>> network = capture(torch.nn.Linear(4, 3), (torch.ones(2, 4),))
    >>> values = {}
    >>> [operation.name for operation in evaluate(network, [torch.ones(2, 4)], values, lambda value: value)]
    ['constant', 'constant', 'input', 'linear', 'output']
    """
    given = dict(zip(network.given, leaves, strict=True))

    def look(value: Any) -> Any:
        return place(values[value] if isinstance(value, Operation) else value)

    scope = AutocastScope()
    for operation in network.operations:
        if operation.kind == "call":
            args, kwargs = pytree.tree_map(look, (operation.args, dict(operation.kwargs)))
            with torch.no_grad(), scope:
                values[operation] = operation.target(*args, **kwargs)
        elif operation.kind != "output":
            values[operation] = given[operation] if operation in given else network.tensor(operation.target)
        yield operation
        for read in operation.last_reads:
            values.pop(read, None)
