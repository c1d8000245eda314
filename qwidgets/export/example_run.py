"""One run of a network's graph with one example, to learn what the graph says only in symbols.

What has sizes and no symbols needs them: the shape of every tensor with a batch of one, and for operations that move
values where each value comes from. The values themselves are zeros and tell nothing.
"""

from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from qwidgets.errors import ExportError
from qwidgets.network import Network, Operation, evaluate

_CASTS = frozenset(["to", "_to_copy", "type_as"])
# fmt: off
_PLAIN_MOVES = _CASTS | frozenset([
    "alias", "atleast_1d", "atleast_2d", "atleast_3d", "broadcast_to", "channel_shuffle", "chunk", "clone",
    "contiguous", "detach", "diagonal", "embedding", "expand", "expand_as", "flatten", "flip", "gather", "index",
    "index_select", "lift_fresh_copy", "mT", "movedim", "narrow", "numpy_T", "permute", "pixel_shuffle",
    "pixel_unshuffle", "positive", "ravel", "reflection_pad1d", "reflection_pad2d", "reflection_pad3d", "repeat",
    "repeat_interleave", "replication_pad1d", "replication_pad2d", "replication_pad3d", "reshape", "roll", "rot90",
    "select", "slice", "split", "split_with_sizes", "squeeze", "swapaxes", "swapdims", "t", "take", "take_along_dim",
    "tensor_split", "tile", "transpose", "unbind", "unflatten", "unfold", "unsafe_chunk", "unsafe_split", "unsqueeze",
    "upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "view", "view_as", "_unsafe_view",
    "_upsample_nearest_exact1d", "_upsample_nearest_exact2d", "_upsample_nearest_exact3d",
])
"""The operations whose values come from places that do not depend on the values, if nothing but one tensor varies."""
# fmt: on


class ExampleRun:
    """Runs a network once.

    Parameters
    ----------
    consumer
        For which it is, in a sentence: "C, which computes one example at a time".

    Attributes
    ----------
    shapes
        Of each node that gives a tensor.
    places
        For each node that moves values without looking at them, the number of each in the tensor that they come from;
        a list of such for a node that gives several tensors.
    """

    def __init__(self, network: Network, device: torch.device, consumer: str) -> None:
        self.shapes: dict[Operation, tuple[int, ...]] = {}
        self.places: dict[Operation, Any] = {}
        self._device = device
        self._values: dict[Operation, Any] = {}
        args, kwargs = network.inputs.example(device, batch=1)
        try:
            for operation in evaluate(network, network.inputs.flatten(args, kwargs), self._values, self._placed):
                result = self._values.get(operation)
                if isinstance(result, Tensor):
                    self.shapes[operation] = tuple(result.shape)
                if operation.only_moves:
                    self._follow(operation)
        except (IndexError, RuntimeError, ValueError) as error:
            raise ExportError(
                f"{network.name} cannot be written in {consumer}: with one, it ends in "
                f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
            ) from error

    def _placed(self, value: Any) -> Any:
        """Bring bounds that are written in the network to where it is computed."""
        return value.to(self._device) if isinstance(value, Tensor) else value

    def _follow(self, node: Operation) -> None:
        source, name = node.trail[1], node.name
        if name == "getitem":
            if source in self.places:
                self.places[node] = self.places[source][node.args[1]]
            return
        mirrors = name == "pad" and not pads_with_a_constant(node)
        if (name not in _PLAIN_MOVES and not mirrors) or source not in self.shapes:
            return
        if any(_varies(given) for given in node.operands if given is not source):
            return
        numbers = torch.arange(torch.Size(self.shapes[source]).numel(), dtype=torch.float64, device=self._device)
        numbers = numbers.reshape(self.shapes[source])
        if name in _CASTS:
            self.places[node] = numbers
            return
        args, kwargs = pytree.tree_map(
            lambda value: (
                value if not isinstance(value, Operation) else numbers if value is source else self._values[value]
            ),
            (node.args, dict(node.kwargs)),
        )
        self.places[node] = node.target(*args, **kwargs)


def pads_with_a_constant(node: Operation) -> bool:
    """Whether a ``pad`` fills the border with one number, and not with values of the tensor."""
    return bool(node.arguments.get("mode", "constant") == "constant")


def _varies(node: Operation) -> bool:
    """Whether a tensor depends on what the network is given; sizes that do are those of the example."""
    if not isinstance(node.value, Tensor):
        return False
    return node.kind == "input" or any(map(_varies, node.operands))
