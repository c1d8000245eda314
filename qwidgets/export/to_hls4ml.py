"""A plan for hls4ml, which makes FPGA firmware of a network: the layers to convert, and their ``ap_fixed`` types.

hls4ml has no plan of its own to read: it takes a PyTorch module and a configuration that gives each layer its types.
:func:`hls4ml_model` makes the one, :func:`to_hls4ml` the other; both tell the same story. Only the second needs hls4ml.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.fx import Graph, GraphModule, Node
from torch.utils import _pytree as pytree

from qwidgets.errors import ExportError, FormatError
from qwidgets.export import hls4ml_slopes  # noqa: F401  registers its translations
from qwidgets.export.export_input import network_of_fixed_sizes, required
from qwidgets.export.hls4ml_layers import TRANSLATIONS, identity
from qwidgets.export.hls4ml_names import input_name, layer_name
from qwidgets.export.hls4ml_operation import HlsOperation, Piece, Types, holding, type_text
from qwidgets.formats import FixedPoint, PerChannel
from qwidgets.network import Operation
from qwidgets.simulation import Parameter, QuantizedNetwork
from qwidgets.tuning import PlanState

BACKEND = "Vitis"
"""The configuration is written for it; Vivado reads the same."""


def hls4ml_model(plan: PlanState, model: nn.Module | None = None) -> GraphModule:
    """Give the module that hls4ml is to convert: the network with its committed weights, in layers that hls4ml knows.

    hls4ml rounds the weights that it finds in a module, after it has folded batch norms by itself, and it knows neither
    groups nor ReLU6. In this module batch norms are folded, weights and biases are what their codes stand for (adjusted
    as the plan says), a grouped convolution has zeros for the weights that it lacks, and a clamp is made of ReLUs
    between shifts. A product with a constant zero costs no hardware. Where several layers read an image that hls4ml
    turns to channels last, a batch norm that changes nothing lies between, which hls4ml takes away again.

    Parameters
    ----------
    plan
        Its committed formats count; there must be no drafts.
    model
        The network that the plan is of, where the plan came from a file and does not know it.

    Returns
    -------
    A module in float64, which holds every 32-bit code. It computes the network with quantized weights and biases; its
    activations are not rounded until hls4ml gives them the types of :func:`to_hls4ml`.

    Raises
    ------
    PlanError
        There are drafts, or the plan does not know its network, or is of another one.
    ExportError
        hls4ml cannot take an operation, a format, or a tensor that stays in float; the text names it.

    Examples
    --------
    >>> import torch
    >>> from qwidgets.calibration import calibrate
    >>> network = nn.Sequential(nn.Linear(4, 2), nn.ReLU())
    >>> plan = calibrate(network, [torch.randn(8, 4)], progress=False).propose(word_length=8)
    >>> module = hls4ml_model(plan)
    >>> [name for name, _ in module.named_children()]
    ['_0', '_1']
    >>> bool((module._0.weight == plan["0.weight"].quantize(network[0].weight)).all())
    True
    """
    return _Translation(network_of_fixed_sizes(plan, model, "hls4ml")).module


def to_hls4ml(plan: PlanState, model: nn.Module | None = None) -> dict[str, Any]:
    """Give the ``hls_config`` with which hls4ml computes the same integers as :func:`qwidgets.quantize`.

    Each tensor has its committed format as ``ap_fixed`` or ``ap_ufixed`` with the rounding and saturation of the plan;
    accumulators, and what passes between layers that are one row of the plan, hold every sum exactly. It is for
    ``io_type="io_parallel"``. As usual with hls4ml, images go in with channels first and come out with channels last.

    Parameters
    ----------
    plan, model
        As for :func:`hls4ml_model`, which gives the module that the configuration is of.

    Returns
    -------
    What ``hls4ml.converters.convert_from_pytorch_model`` takes as ``hls_config``. Layers have the names that hls4ml
    gives them, which are the module paths with ``_`` for each dot and for whatever else C++ has not in a name. The
    types must stay as they are.

    Raises
    ------
    PlanError, ExportError
        As for :func:`hls4ml_model`.
    ExtraError
        hls4ml is not installed.

    Examples
    --------
    >>> import torch
    >>> from qwidgets.calibration import calibrate
    >>> network = nn.Sequential(nn.Linear(4, 2), nn.ReLU())
    >>> plan = calibrate(network, [torch.randn(8, 4)], progress=False).propose(word_length=8)
    >>> plan["0"] = "ap_ufixed<8,3,AP_RND_INF,AP_SAT>"
    >>> entry = plan.commit()
    >>> config = to_hls4ml(plan)
    >>> config["LayerName"]["_1"]["Precision"]["result"]
    'ap_ufixed<8,3,AP_RND_INF,AP_SAT>'

    With g++, hls4ml then simulates the firmware without any other tool::

        firmware = hls4ml.converters.convert_from_pytorch_model(
            hls4ml_model(plan), hls_config=to_hls4ml(plan), backend="Vitis", io_type="io_parallel"
        )
        firmware.compile()
        values = firmware.predict(inputs)
    """
    hls4ml = required("hls4ml", "hls4ml")
    tracing = required("hls4ml.utils.torch", "hls4ml")
    translation = _Translation(network_of_fixed_sizes(plan, model, "hls4ml"))
    config: dict[str, Any] = hls4ml.utils.config_from_pytorch_model(
        translation.module, translation.input_shapes, granularity="name", backend=BACKEND
    )
    del config["PytorchModel"]  # it is an argument of its own there
    named = [node.name for node in tracing.CustomFXTracer().trace(translation.module).nodes if node.op != "output"]
    for name, types in zip(named, translation.types, strict=True):
        config["LayerName"][name]["Precision"].update(types)
    return config


class _Translation:
    """A network as a module of layers that hls4ml knows, with the types of each node of it, the output apart."""

    def __init__(self, network: QuantizedNetwork) -> None:
        self._program = network.program
        _check_formats(network)
        self._norms = {layer.head: layer.batch_norm for layer in network.network.layers}
        self._graph = Graph()
        self._modules: dict[str, nn.Module] = {}
        self._made: dict[Operation, Node] = {}
        self._types: dict[Node, Types] = {}
        self._shapes: dict[Node, tuple[int | None, ...]] = {}
        self.input_shapes: list[tuple[int, ...]] = []
        for node in network.network.operations:
            self._add(node)
        self._part_readers()
        self.module = GraphModule(self._modules, self._graph, class_name=network.network.name).eval()

    @property
    def types(self) -> list[Types]:
        """Those of each node, in their order."""
        return [self._types[node] for node in self._graph.nodes if node.op != "output"]

    def _add(self, node: Operation) -> None:
        if node.kind == "input":
            self._add_input(node)
        elif node.kind == "output":
            self._add_output(node)
        elif node.is_folded:
            self._made[node] = self._made[node.operands[0]]
        elif node in self._program.operands and node.constant is None:
            self._translate(node)
        elif node.is_float and node.kind == "call":
            raise ExportError(f"hls4ml cannot take {_path(node)!r}: it fills a tensor with a constant")

    def _add_input(self, node: Operation) -> None:
        if node not in self._program.operands:
            raise ExportError(
                f"hls4ml cannot take the input {node.label!r}: it is no tensor of floating-point numbers that is read"
            )
        taken = {made.name for made in self._graph.nodes}
        made = self._made[node] = self._graph.placeholder(input_name(node.label, taken))
        self._types[made] = {"result": self._result(node)}
        self._shapes[made] = self._program.operands[node].shape
        self.input_shapes.append(tuple(int(size or 0) for size in self._program.operands[node].shape[1:]))

    def _add_output(self, node: Operation) -> None:
        sources = [leaf for leaf in pytree.tree_leaves(node.args[0]) if isinstance(leaf, Operation)]
        for source in sources:
            if source not in self._made:
                raise ExportError(
                    f"hls4ml cannot take the output {_path(source)!r}: it is no tensor of codes; leave it to the caller"
                )
        outputs = [self._made[source] for source in sources]
        for source, made in zip(sources, outputs, strict=True):
            if made.users or made.op == "placeholder" or outputs.count(made) > 1:
                raise ExportError(
                    f"hls4ml cannot take the output {_path(source)!r}: what another layer reads, what is an output "
                    "already, or what no layer made, is no output there; give back the others, and take it from them"
                )
        end = self._graph.output(outputs[0] if len(outputs) == 1 else tuple(outputs))
        for made in outputs:
            end.prepend(made)  # hls4ml gives outputs in the order in which it computes them

    def _translate(self, node: Operation) -> None:
        given = {
            name: Parameter(value.constant) if isinstance(value, Operation) and value.constant is not None else value
            for name, value in (self._program.arguments.get(node) or dict(node.arguments)).items()
        }
        operation = HlsOperation(node, self._program, given, layer_name(_path(node)), self._result(node))
        translate = TRANSLATIONS.get(node.name)
        if translate is None:
            raise operation.refused("it has no layer there that gives the same integers; leave it to the caller")
        sources = [source for source in node.operands if source in self._made]
        inputs = [self._made[source] for source in sources]
        for piece in translate(operation):
            inputs = [self._place(piece, inputs)]
        self._made[node] = inputs[0]
        self._shapes[inputs[0]] = self._program.operands[node].shape

    def _part_readers(self) -> None:
        """Put an identity where hls4ml would turn an image or a sequence for one of its readers only.

        It brings inputs to channels last, and what is flattened back to channels first, by a transpose between two
        layers; of several readers it finds the first, and none that reads another tensor first. An input that is
        flattened at once it turns twice.
        """
        for source in [node for node in self._graph.nodes if len(self._shapes.get(node, ())) > 2]:
            flattened = [reader for reader in source.users if self._is_flatten(reader)]
            second = any(reader.args[0] is not source for reader in source.users)
            if source.op == "placeholder" and (len(source.users) > 1 or flattened or second):
                readers, source = list(source.users), self._identity_after(source)
                for reader in readers:
                    reader.replace_input_with(source.all_input_nodes[0], source)
            if len(source.users) > 1:
                for reader in flattened:
                    reader.replace_input_with(source, self._identity_after(source))

    def _is_flatten(self, node: Node) -> bool:
        return node.op == "call_module" and isinstance(self._modules[str(node.target)], nn.Flatten)

    def _identity_after(self, source: Node) -> Node:
        """Place a batch norm that changes nothing; hls4ml removes it once nothing is turned any more."""
        shape = self._shapes[source]
        result = self._types[source]["result"]
        inputs = self._graph.find_nodes(op="placeholder")  # stay together: they are the arguments of the module
        with self._graph.inserting_after(inputs[-1] if source in inputs else source):
            made = self._place(identity(f"{source.name}_same", shape, result), [source])
        self._shapes[made] = shape
        return made

    def _place(self, piece: Piece, inputs: list[Node]) -> Node:
        made = self._call(piece, inputs)
        self._types[made] = piece.types
        return made

    def _call(self, piece: Piece, inputs: list[Node]) -> Node:
        if piece.does is torch.cat:
            return self._graph.call_function(torch.cat, (inputs,), {"dim": 1})
        if not isinstance(piece.does, nn.Module):
            return self._graph.call_function(piece.does, tuple(inputs))
        name = base = piece.name
        number = 0
        while name in self._modules:
            number += 1
            name = f"{base}_{number}"
        self._modules[name] = piece.does
        return self._graph.call_module(name, tuple(inputs))

    def _result(self, node: Operation) -> str:
        """Give the type of what leaves an operation: its row's, or one that holds what passes on within the row."""
        end = self._norms.get(node) or node
        if end.slot is None:
            return holding(self._program.operands[end].codes)
        fmt = self._program.formats[end.slot]
        assert isinstance(fmt, FixedPoint)
        try:
            return type_text(fmt)
        except FormatError as error:
            raise ExportError(f"hls4ml cannot take the format of {end.slot!r}: {error}") from None


def _check_formats(network: QuantizedNetwork) -> None:
    formats: Mapping[str, FixedPoint | PerChannel | None] = network.program.formats
    for row in network.network.rows:
        fmt = formats[row.name]
        if fmt is None:
            raise ExportError(
                f"{row.name!r} stays in float, and hls4ml computes nothing exactly in float; give it a format, "
                f"plan[{row.name!r}] = ..."
            )
        if isinstance(fmt, PerChannel) and row.kind == "weight":
            raise ExportError(
                f"{row.name!r} has another window for each channel, and hls4ml has one type for a weight; "
                "give it one window, or propose(per_channel=False)"
            )
    for name, reason in network.float_islands.items():
        raise ExportError(f"hls4ml cannot take {name!r}: {reason}")


def _path(node: Operation) -> str:
    """Name an operation as hls4ml would name it in the user's own module: by its layer's path, or by what it does."""
    return node.module if node.is_torch_layer else node.label
