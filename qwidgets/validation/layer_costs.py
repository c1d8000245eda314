"""What each layer takes: parameters, bytes, multiply-accumulates, operations; from shapes, without any data.

Multiplications are counted by ``torch.utils.flop_counter`` while the captured network runs once on tensors without
values, on which no library computes in one call what the counter could not see into; everything else follows from the
shapes on the way.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from qwidgets.errors import CaptureError
from qwidgets.network import Network, Operation, evaluate
from qwidgets.shown_table import ShownTable
from qwidgets.simulation import captured
from qwidgets.tuning import Format, PlanState
from qwidgets.validation.sizes import FLOAT_BYTES, packed


def cost(model: nn.Module, plan: PlanState) -> pd.DataFrame:
    """Count what each layer and operation of a network takes for one input, under the plan's committed formats.

    Parameters
    ----------
    model
        The network that the plan is of.
    plan
        Its committed formats give the quantized bytes. Drafts do not count.

    Returns
    -------
    pandas.DataFrame
        First one row for the network as a whole, named as its class, then one for each activation of the plan: a layer
        or operation with what is fused into it. For a batch of one; for a network whose code fixes the batch, for that
        batch. Columns:

        - ``operation``: what it does;
        - ``parameters``: weights and biases, batch norm folded in, and those that have no row, as of a layer norm. What
          several layers share counts in each of them, and once in the network;
        - ``float_bytes``, ``quantized_bytes``: of these, 4 each in float, and packed at their word length;
        - ``input_bytes``, ``output_bytes``: of the activations that it reads and gives, packed likewise; of the network
          those that enter and leave it;
        - ``macs``: multiply-accumulates of convolutions, matrix products, attention and recurrent layers,
          those with the zeros of a padding too;
        - ``operations``: two for each of these, and for any other operation one for each value that it gives or, where
          those are more, as for an average, for each value of the largest tensor that it reads. The bias is where a sum
          begins, and what only moves values costs nothing;
        - ``intensity``: operations per byte that is read or written: ``quantized_bytes``, ``input_bytes`` and
          ``output_bytes``, each tensor once; of the network, the sums of its layers'.

    Raises
    ------
    PlanError
        The plan is of another network.
    CaptureError
        An operation does not tell the shape of what it gives without values.

    Examples
    --------
    >>> from qwidgets.calibration import calibrate
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> plan = calibrate(model, [torch.randn(16, 4)], progress=False).propose(word_length=8)
    >>> cost(model, plan)[["parameters", "quantized_bytes", "macs", "operations"]]
                parameters  quantized_bytes  macs  operations
    name
    Sequential          58               58    48         104
    0                   40               40    32          72
    2                   18               18    16          32
    """
    network = captured(model, plan)
    args, kwargs = network.inputs.example("meta", batch=1)
    counting = _Counting(network)
    try:
        counting.run(network.inputs.flatten(args, kwargs))
    except Exception as error:
        raise CaptureError(f"what {network.name} takes depends on the values that it is given: {error}") from error
    sizes = _Sizes(network, plan.committed, counting.counts)
    layers = {row: counting.layers[row] for row in network.producers if row in counting.layers}
    records = [sizes.record(row, plan.row(row).operation, layer) for row, layer in layers.items()]
    given = [node for row, node in network.producers.items() if plan.row(row).kind == "input"]
    total = _Layer(
        parameters=set().union(*(layer.parameters for layer in layers.values())),
        reads=dict.fromkeys(given),
        gives=dict.fromkeys(network.output.operands),
        macs=sum(layer.macs for layer in layers.values()),
        others=sum(layer.others for layer in layers.values()),
    )
    whole = sizes.record(network.name, "network", total)
    # What several layers share, and what one gives and the next reads, is moved each time.
    touched = sum(record["quantized_bytes"] + record["input_bytes"] + record["output_bytes"] for record in records)
    whole["intensity"] = whole["operations"] / touched if touched else math.nan
    return ShownTable.from_records([whole, *records], index="name")


@dataclass
class _Layer:
    """What the nodes of one row take: rows of parameters, nodes that are read and given, and counts."""

    parameters: set[str] = field(default_factory=set)
    reads: dict[Operation, None] = field(default_factory=dict)
    gives: dict[Operation, None] = field(default_factory=dict)
    macs: int = 0
    others: int = 0


class _Counting:
    """Runs a network once, and counts for each activation row what its operations do."""

    def __init__(self, network: Network) -> None:
        self.layers: dict[str, _Layer] = {}
        self.counts: dict[Operation, int] = {}
        self._network = network
        self._own = {
            layer.head: {row for row in (layer.weight_row, layer.bias_row) if row is not None}
            for layer in network.layers
        }

    def run(self, leaves: list[Any]) -> None:
        """Run it for the flat arguments of a call."""
        # Imported here: it brings Triton, which nothing else that is imported needs.
        from torch.utils.flop_counter import FlopCounterMode

        values: dict[Operation, Any] = {}
        before = 0
        with FlopCounterMode(display=False, custom_mapping=_VECTOR_PRODUCTS) as counter:
            for operation in evaluate(self._network, leaves, values, _without_values):
                after = counter.get_total_flops()
                self.counts[operation] = _count(values.get(operation))
                if operation.makes_values and operation.constant is None:
                    self._add(operation, (after - before) // 2)
                before = after

    def _add(self, node: Operation, macs: int) -> None:
        row = node.row
        if row not in self._network.producers:
            return
        layer = self.layers.setdefault(row, _Layer())
        layer.parameters |= self._own.get(node, set())
        layer.macs += macs
        layer.gives = {self._network.producers[row]: None}
        read = 0
        for given in node.operands:
            source = given.source
            if source.constant is not None:
                layer.parameters.add(source.constant)
            elif source.kind == "constant":
                if not node.is_batch_norm:
                    layer.parameters.add(source.target)
            elif source.is_float or self.counts[given]:
                read = max(read, self.counts[given])
                if source.slot is not None:
                    layer.reads[given] = None
        if not macs and not node.is_folded:
            layer.others += max(read, self.counts[node])


def _without_values(value: Any) -> Any:
    """Give a value with each tensor, and each place to put one, on the device that computes shapes only."""
    meta = torch.device("meta")
    return pytree.tree_map_only(
        (Tensor, torch.device), lambda leaf: leaf.to(meta) if isinstance(leaf, Tensor) else meta, value
    )


def _count(value: Any) -> int:
    """Give the number of floats among what a node gave."""
    tensors = [leaf for leaf in pytree.tree_leaves(value) if isinstance(leaf, Tensor) and leaf.is_floating_point()]
    return sum(tensor.numel() for tensor in tensors)


@dataclass(frozen=True)
class _Sizes:
    """Turns counts into bytes under some formats."""

    network: Network
    formats: Mapping[str, Format]
    counts: Mapping[Operation, int]

    def _parameters(self, name: str) -> tuple[int, Format]:
        """Give the number of values of a row, or of a parameter that has none, and their format."""
        if name in self.network.parameters:
            return self.network.parameters[name].numel(), self.formats[name]
        found = self.network.tensor(name)
        return found.numel() if found.is_floating_point() else 0, None

    def record(self, name: str, operation: str, layer: _Layer) -> dict[str, Any]:
        """Give the table's row of a layer."""
        parameters = [self._parameters(name) for name in layer.parameters]
        count, quantized = sum(count for count, _ in parameters), sum(packed(*pair) for pair in parameters)
        read, given = (sum(map(self._bytes, nodes)) for nodes in (layer.reads, layer.gives))
        done = 2 * layer.macs + layer.others
        touched = quantized + read + given
        return {
            "name": name,
            "operation": operation,
            "parameters": count,
            "float_bytes": FLOAT_BYTES * count,
            "quantized_bytes": quantized,
            "input_bytes": read,
            "output_bytes": given,
            "macs": layer.macs,
            "operations": done,
            "intensity": done / touched if touched else math.nan,
        }

    def _bytes(self, node: Operation) -> int:
        """Give the memory of what a node gave, in the format of the row that it comes from."""
        row = node.source.slot
        return packed(self.counts[node], None if row is None else self.formats[row])


def _vector_product(a: Any, b: Any, *rest: Any, out_shape: Any = None, **how: Any) -> int:
    """Two operations for each value of the first factor; the second is a vector."""
    return 2 * math.prod(map(int, a))


_VECTOR_PRODUCTS = {torch.ops.aten.mv: _vector_product, torch.ops.aten.dot: _vector_product}
"""What the counter does not know of itself."""
