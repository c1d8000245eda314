"""One run of a network's graph with one example, to learn what the graph says only in symbols.

C has sizes, not symbols: the shape of every tensor with a batch of one, and for operations that move values where each
value comes from. The values themselves are zeros and tell nothing.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.fx import Interpreter, Node
from torch.utils import _pytree as pytree

from qwidgets.errors import ExportError
from qwidgets.network import Network, operations

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


class ExampleRun(Interpreter):
    """Runs a graph once.

    Attributes
    ----------
    shapes
        Of each node that gives a tensor.
    places
        For each node that moves values without looking at them, the number of each in the tensor that they come from;
        a list of such for a node that gives several tensors.
    """

    def __init__(self, network: Network, device: torch.device) -> None:
        super().__init__(network.graph)
        self.shapes: dict[Node, tuple[int, ...]] = {}
        self.places: dict[Node, Any] = {}
        self._device = device
        args, kwargs = network.inputs.example(device, batch=1)
        try:
            with torch.no_grad():
                self.run(*network.inputs.flatten(args, kwargs), enable_io_processing=False)
        except (IndexError, RuntimeError, ValueError) as error:
            raise ExportError(
                f"{network.name} cannot be written in C, which computes one example at a time: with one, it ends in "
                f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
            ) from error

    def run_node(self, n: Node) -> Any:
        """Compute a node, and note what there is to learn."""
        result = super().run_node(n)
        if isinstance(result, Tensor):
            self.shapes[n] = tuple(result.shape)
        if operations.only_moves(n):
            self._follow(n)
        return result

    def call_function(self, target: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Compute an operation, with the bounds that are written in the graph where the network is."""
        args, kwargs = pytree.tree_map(
            lambda value: value.to(self._device) if isinstance(value, Tensor) else value, (args, dict(kwargs))
        )
        return target(*args, **kwargs)

    def _follow(self, node: Node) -> None:
        source, name = operations.trail_of(node)[1], operations.name_of(node)
        if name == "getitem":
            if source in self.places:
                self.places[node] = self.places[source][node.args[1]]
            return
        mirrors = name == "pad" and not pads_with_a_constant(node)
        if (name not in _PLAIN_MOVES and not mirrors) or source not in self.shapes:
            return
        if any(_varies(given) for given in node.all_input_nodes if given is not source):
            return
        numbers = torch.arange(torch.Size(self.shapes[source]).numel(), dtype=torch.float64, device=self._device)
        numbers = numbers.reshape(self.shapes[source])
        if name in _CASTS:
            self.places[node] = numbers
            return
        args, kwargs = pytree.tree_map(
            lambda value: value if not isinstance(value, Node) else numbers if value is source else self.env[value],
            (node.args, node.kwargs),
        )
        target: Any = node.target
        self.places[node] = target(*args, **kwargs)


def pads_with_a_constant(node: Node) -> bool:
    """Whether a ``pad`` fills the border with one number, and not with values of the tensor."""
    mode = node.args[2] if len(node.args) > 2 else node.kwargs.get("mode", "constant")
    return mode == "constant"


def _varies(node: Node) -> bool:
    """Whether a tensor depends on what the network is given; sizes that do are those of the example."""
    if not isinstance(operations.value_of(node), Tensor):
        return False
    return node.op == "placeholder" or any(map(_varies, node.all_input_nodes))
