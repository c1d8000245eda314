"""What a network's tensors are called in the ONNX file that PyTorch makes of it.

Some tools take no formats inside a model but beside it, by the names of an ONNX file. The names here are those of
PyTorch's TorchScript-based exporter (``torch.onnx.export(..., dynamo=False)``), which these tools use themselves. Both
it and ``torch.export`` follow the same forward pass, so operations of one kind come in the same order in both.
"""

import io
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from qwidgets.errors import ExportError
from qwidgets.export.export_input import required
from qwidgets.network import Network, Operation, unwrapped

OPSET = 18

_POOLING = ("AveragePool", "GlobalAveragePool", "ReduceMean")
_KINDS: Mapping[str, tuple[str, ...]] = {
    "conv1d": ("Conv",),
    "conv2d": ("Conv",),
    "conv3d": ("Conv",),
    "conv_transpose1d": ("ConvTranspose",),
    "conv_transpose2d": ("ConvTranspose",),
    "conv_transpose3d": ("ConvTranspose",),
    "linear": ("Gemm",),
    "batch_norm": ("BatchNormalization",),
    "relu": ("Relu",),
    "relu6": ("Clip",),
    "hardtanh": ("Clip",),
    "clamp": ("Clip",),
    "clamp_min": ("Clip",),
    "clamp_max": ("Clip",),
    "leaky_relu": ("LeakyRelu",),
    "prelu": ("PRelu",),
    "hardswish": ("HardSwish",),
    "hardsigmoid": ("HardSigmoid",),
    "sigmoid": ("Sigmoid",),
    "tanh": ("Tanh",),
    "softmax": ("Softmax",),
    "add": ("Add",),
    "sub": ("Sub",),
    "mul": ("Mul",),
    "matmul": ("MatMul",),
    "cat": ("Concat",),
    "mean": _POOLING,
    "avg_pool1d": _POOLING,
    "avg_pool2d": _POOLING,
    "avg_pool3d": _POOLING,
    "adaptive_avg_pool1d": _POOLING,
    "adaptive_avg_pool2d": _POOLING,
    "adaptive_avg_pool3d": _POOLING,
}


@dataclass(frozen=True)
class OnnxNames:
    """The names of a network's tensors and operations.

    Attributes
    ----------
    tensors
        Of each row.
    nodes
        For each activation row the operations that are one in it, in their order; its tensor leaves the last.
    moves
        For a row the operations that only move its values on: pooling by maximum, flattening.
    model
        The ONNX file, as ``onnx`` holds it.
    """

    tensors: dict[str, str] = field(default_factory=dict)
    nodes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    moves: dict[str, tuple[str, ...]] = field(default_factory=dict)
    model: Any = None


def onnx_names(model: nn.Module, network: Network, extra: str) -> OnnxNames:
    """Export a model in memory, and tell what its rows are called there.

    Parameters
    ----------
    model
        It is not changed.
    network
        What was captured of it.
    extra
        Whose installation brings the package ``onnx``.

    Raises
    ------
    ExportError
        The model cannot be exported, or a row has no tensor of its own in the file; the text names it.
    ExtraError
        The package ``onnx`` is not installed.
    """
    written = _exported(model, network, extra)
    exported = written.graph
    found = OnnxNames(model=written)
    inputs = [(row, node) for row, node in network.producers.items() if node.kind == "input"]
    if len(inputs) != len(exported.input):
        raise ExportError(
            f"an ONNX file of this {network.name} has other inputs: some are not of floats, or not used; convert what "
            "it reads to floats before it, and leave out what it does not read"
        )
    found.tensors.update((row, given.name) for (row, _), given in zip(inputs, exported.input, strict=True))
    made = _matched(network, exported)
    norms = {layer.head: layer.batch_norm for layer in network.layers}
    for layer in network.layers:
        names = list(made[layer.head].input) if layer.head in made else []
        for parameter, place in ((layer.weight_row, 1), (layer.bias_row, 2)):
            if parameter is not None and len(names) > place:
                found.tensors.setdefault(parameter, names[place])
    for user, there in made.items():  # the slopes of a PReLU are of no layer
        if user.slopes is not None and user.slopes.constant is not None:
            found.tensors.setdefault(user.slopes.constant, there.input[1])
    heads = {norm or head: head for head, norm in norms.items()}
    for row, node in network.producers.items():
        if node.kind == "input":
            continue
        parts = [node]
        if node.is_activation and _is_fused(node, network):
            parts.insert(0, node.operands[0])
        parts = [heads.get(part, part) for part in parts]
        if all(part in made for part in parts):
            found.nodes[row] = tuple(made[part].name for part in parts)
            found.tensors[row] = made[parts[-1]].output[0]
    for missing in network.rows:
        if missing.name not in found.tensors:
            raise ExportError(
                f"{missing.name!r} ({missing.operation}) has no tensor of its own in an ONNX file of this "
                f"{network.name}"
            )
    _follow(found, exported)
    return found


def _is_fused(node: Operation, network: Network) -> bool:
    """Whether an activation function is in one row with what it is computed of."""
    before = node.operands[0]
    return before.kind == "call" and before.slot is None and not before.only_moves


def _follow(found: OnnxNames, exported: Any) -> None:
    """Add the operations that are none of a row's own to the row whose values they move."""
    known = {name for nodes in found.nodes.values() for name in nodes}
    source = {tensor: row for row, tensor in found.tensors.items()}
    for node in exported.node:
        row = source.get(node.input[0]) if node.input else None
        if row is not None and node.name not in known:
            found.moves[row] = (*found.moves.get(row, ()), node.name)
            source.update(dict.fromkeys(node.output, row))


def _matched(network: Network, exported: Any) -> dict[Operation, Any]:
    """Find the node of the ONNX graph for each operation: the same kind, at the same place among them."""
    captured: dict[tuple[str, ...], list[Operation]] = {}
    for node in network.operations:
        kind = _KINDS.get(node.name)
        if kind and node.kind == "call" and not node.is_folded and node.is_float:
            captured.setdefault(kind, []).append(node)
    found: dict[Operation, Any] = {}
    for kind, nodes in captured.items():
        there = [node for node in exported.node if node.op_type in kind]
        if len(there) == len(nodes):
            found.update(zip(nodes, there, strict=True))
    return found


def _exported(model: nn.Module, network: Network, extra: str) -> Any:
    onnx = required("onnx", extra)
    model = unwrapped(model)
    tensors = [*model.parameters(), *model.buffers()]
    args, kwargs = network.inputs.example(tensors[0].device if tensors else "cpu", batch=1)
    content = io.BytesIO()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that there is a newer exporter, whose names these tools do not know
            torch.onnx.export(model, args, content, kwargs=kwargs, opset_version=OPSET, dynamo=False)  # type: ignore[arg-type]
    except Exception as error:
        why = str(error).strip().partition("\n")[0]  # after it, PyTorch prints all its graph
        raise ExportError(f"PyTorch cannot write this {network.name} as ONNX: {why}") from error
    return onnx.load_from_string(content.getvalue())
