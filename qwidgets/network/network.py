"""A model as a graph of tensors that a number format can be given to.

`capture` traces a model once; the `Network` that it gives lists those tensors as rows, holds their weights as hardware
would see them (batch norm folded in), and runs like the model while it shows each tensor to an observer. It depends on
``torch.export`` and never changes the model.

What is a row:

- each float input, called ``input``, or ``input.<argument>`` when there are several;
- weights and biases of what multiplies: convolutions, linear layers, embeddings, recurrent layers, a batch norm that
  follows no convolution (as its scale and shift), and any other parameter, buffer or constant that enters a sum, a
  product or a concatenation (a position embedding, a class token). The parameters of layers that are computed in float
  as a whole (layer norm, attention) have none. A tensor that several layers share has one row, which lists them;
- what leaves each layer or operation, after the batch norm and the activation function that hardware computes with it.
  Operations that only move values (reshape, pad, max-pool, slicing, looking up an embedding) have none; concatenation
  has one, since its inputs may have different formats. Integers, booleans and complex numbers have none. A layer that
  gives several tensors has a row for each that is used: ``lstm``, ``lstm.1``. A layer that is called again has another
  row: ``fc``, ``fc@2``.
"""

import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from operator import attrgetter
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx import Graph, GraphModule, Node
from torch.utils import _pytree as pytree

from qwidgets.errors import CaptureError, DataError
from qwidgets.network import operations
from qwidgets.network.autocast import AutocastScope
from qwidgets.network.folding import compute, evaluate, fold
from qwidgets.network.fusion import fold as fold_batch_norm
from qwidgets.network.fusion import scale_and_shift
from qwidgets.network.inputs import FreeSizes, InputSpec, TensorSpec
from qwidgets.network.operation import Layer, Operation
from qwidgets.network.origin import Origin
from qwidgets.network.read_operations import Operations, read_operations
from qwidgets.network.rows import Row, Rows, digest_of, find_rows, shape_of
from qwidgets.network.tracing import device_of, graph_of, trace

Observer = Callable[[str, Tensor], object]


@dataclass(frozen=True, eq=False)
class Network:
    """A captured model: its rows, its graph, its weights, and a way to run it.

    Attributes
    ----------
    name
        The model's class.
    rows
        In the order of execution: inputs, then weight, bias and activation of each layer.
    layers
        The layers that multiply with one weight.
    operations
        What it does, in the order of execution: inputs, constants, calls, and last the outputs.
    producers
        For each input and activation row the operation that gives it.
    parameters
        For each weight and bias row its values, detached copies in float32 or float64, batch norm folded in.
    inputs
        What the network is fed.
    """

    name: str
    rows: tuple[Row, ...]
    layers: tuple[Layer, ...]
    operations: tuple[Operation, ...]
    producers: Mapping[str, Operation]
    parameters: Mapping[str, Tensor]
    inputs: InputSpec
    _graph: GraphModule = field(repr=False)
    _found: Rows = field(repr=False)
    _made: Mapping[str, Node] = field(repr=False)
    _checks: Callable[..., object] = field(repr=False)
    _outputs: pytree.TreeSpec = field(repr=False)
    _observed: GraphModule = field(repr=False)
    _origin: Origin = field(repr=False)

    @property
    def digest(self) -> str:
        """A short text that changes with the names, kinds, operations and shapes of the rows."""
        return digest_of(self.rows)

    def flatten(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        """Give the leaves of a call's arguments in the order in which the graph takes them.

        Raises
        ------
        DataError
            They have not the structure, shapes or types that the network was captured for, or sizes for which the
            model's code does something else than for those it was captured with.
        """
        leaves = self.inputs.flatten(args, kwargs)
        try:
            self._checks(*leaves)
        except AssertionError as error:
            condition = str(error).removeprefix("Guard failed: ")
            raise DataError(
                f"for inputs of other sizes the code of {self.name} does something else: it was captured where "
                f"{condition}; give batches of such sizes"
            ) from error
        return leaves

    def run(self, args: tuple[Any, ...], kwargs: dict[str, Any] | None, observe: Observer) -> Any:
        """Compute what the model computes, in eval mode and without gradients.

        Parameters
        ----------
        args, kwargs
            What the model would be called with.
        observe
            Called as ``observe(row_name, tensor)`` for each input and activation row, as soon as the tensor is there
            and while it is still in the cache. Later operations may overwrite the tensor: keep no reference to it.

        Raises
        ------
        DataError
            The arguments have not the structure, shapes or types that the network was captured for.
        """
        leaves = self.flatten(args, kwargs or {})
        with torch.no_grad(), AutocastScope():
            return self.unflatten(self._observed.forward(observe, *leaves))

    def unflatten(self, outputs: Iterable[Any]) -> Any:
        """Give the outputs in the model's structure, from those of the last operation."""
        return pytree.tree_unflatten(list(outputs), self._outputs)

    @property
    def given(self) -> tuple[Operation, ...]:
        """The inputs, in the order of :meth:`flatten`."""
        return tuple(operation for operation in self.operations if operation.kind == "input")

    @property
    def output(self) -> Operation:
        """The last operation, whose one argument is the flat list of what the network gives."""
        return self.operations[-1]

    def tensor(self, target: str) -> Tensor:
        """Give a parameter, a buffer or a constant as it is now, by the ``target`` of its operation."""
        found: Tensor = attrgetter(target)(self._graph).detach()
        return found

    def tensor_from(self, target: str, tensor_of: Callable[[str], Tensor]) -> Tensor:
        """Give the same for other values of the model's parameters and buffers, which ``tensor_of`` finds by name."""
        if target not in self._made:
            return self.tensor(target)
        home = self.tensor(target).device
        return compute(self._made[target], lambda name: tensor_of(name).to(home))

    def parameters_from(self, tensor_of: Callable[[str], Tensor]) -> dict[str, Tensor]:
        """Give the values of each weight and bias row, batch norm folded in, made of other parameters and buffers.

        Parameters
        ----------
        tensor_of
            Finds what stands behind the ``target`` of a constant; see :meth:`tensor_from`.
        """

        def value(node: Node) -> Any:
            return tensor_of(str(node.target)) if node.op == "get_attr" else evaluate(node, value)

        found = {row: value(node).detach() for row, node in self._found.parameter_nodes.items()}
        for layer in self._found.layers:
            group, bias_row = layer.group, layer.bias_row
            if operations.is_batch_norm(group.head):
                assert bias_row is not None
                found[layer.weight_row], found[bias_row] = scale_and_shift(group.head, value)
            elif group.batch_norm is not None:
                assert bias_row is not None
                folded = fold_batch_norm(group, found[layer.weight_row], found.get(bias_row), value)
                found[layer.weight_row], found[bias_row] = folded
        return {row: found[row].to(values.dtype) for row, values in self.parameters.items()}

    def is_of(self, model: nn.Module, device: torch.device) -> bool:
        """Whether a model, on a device, is the one that was captured, with all of it as it was, its weights too."""
        if self._origin.device not in (None, device) or not self._origin.is_still(model):
            return False
        held = dict(model.named_parameters(remove_duplicate=False)) | dict(model.named_buffers(remove_duplicate=False))

        @lru_cache(None)
        def now(target: str) -> Tensor:
            return held[target].detach() if target in held else self.tensor_from(target, now)

        constants = {str(constant.target) for constant in self.operations if constant.kind == "constant"}
        if not all(_equal(now(target), self.tensor(target)) for target in constants):
            return False
        weights = self.parameters_from(now)
        return all(_equal(weights[row], values) for row, values in self.parameters.items())

    def adjusted(
        self, parameters: Mapping[str, Tensor], bounds: Mapping[Operation, tuple[Tensor | None, Tensor | None]]
    ) -> "Network":
        """Give a network with other values of weights and biases, and of the bounds of clamps.

        Programs that are made of it compute with them; :meth:`run` computes what the model does.
        """
        read = Operations(self.operations, self.layers, self.producers)
        read = read.with_clamps(bounds) if bounds else read
        return replace(
            self,
            parameters=MappingProxyType(dict(parameters)),
            operations=read.all,
            layers=read.layers,
            producers=read.producers,
        )


def capture(
    model: nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any] | None = None,
    free: FreeSizes = frozenset(),
) -> Network:
    """Trace a model with an example of its arguments, and find its rows.

    The first dimension of each tensor among the arguments is taken for the batch, and may differ from call to call. The
    network runs on the device on which the example lies. A compiled model or one wrapped for several devices is
    captured as the model inside.

    Parameters
    ----------
    model
        It is not changed.
    args, kwargs
        What it would be called with.
    free
        Which other sizes may differ from call to call: pairs of an argument's position, all tensors and numbers in
        ``args`` and ``kwargs`` counted in turn, and a dimension. A size that the code fixes stays fixed.

    Raises
    ------
    CaptureError
        ``model`` is no ``torch.nn.Module``, or its code cannot be traced; the text names the line.

    Examples
    --------
    >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    >>> network = capture(model, (torch.randn(2, 1, 8, 8),))
    >>> [(row.name, row.fused) for row in network.rows]  # doctest: +NORMALIZE_WHITESPACE
    [('input', ()), ('0.weight', ('0', '1')), ('0.bias', ('0', '1')), ('0', ('0', '1', '2'))]
    """
    model = unwrapped(model)
    program = trace(model, tuple(args), dict(kwargs or {}), free)
    graph, checks = graph_of(program)
    aliases = _aliases(model)
    made = fold(graph, aliases)
    graph.recompile()
    found = find_rows(graph, aliases, _leaves(model))
    if not found.rows:
        raise CaptureError(
            f"{type(model).__name__} has no tensor that a number format can be given to: it neither takes "
            "floating-point numbers nor computes any"
        )
    read = read_operations(graph.graph.nodes, found)
    return Network(
        name=type(model).__name__,
        rows=tuple(found.rows.values()),
        layers=read.layers,
        operations=read.all,
        producers=read.producers,
        parameters=MappingProxyType(found.parameters),
        inputs=_input_spec(program, graph.graph.find_nodes(op="placeholder"), pytree.tree_leaves((args, kwargs or {}))),
        _graph=graph,
        _found=found,
        _made=made,
        _checks=checks,
        _outputs=program.call_spec.out_spec,
        _observed=_observing(graph, found.nodes),
        _origin=Origin(model, device_of(pytree.tree_leaves((args, kwargs or {})))),
    )


def unwrapped(model: object) -> nn.Module:
    """Give the model inside what ``torch.compile``, ``DataParallel`` or ``DistributedDataParallel`` made of it."""
    while True:
        if not isinstance(model, nn.Module):
            raise CaptureError(f"a model must be a torch.nn.Module, not {type(model).__name__}")
        if hasattr(model, "_orig_mod"):
            model = model._orig_mod
        elif isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            model = model.module
        else:
            return model


def _equal(values: Tensor, others: Tensor) -> bool:
    return values.data_ptr() == others.data_ptr() or torch.equal(values, others)


def _input_spec(program: ExportedProgram, given: list[Node], example: list[Any]) -> InputSpec:
    def spec(node: Node, leaf: Any) -> Any:
        value = operations.value_of(node)
        if not isinstance(value, Tensor):
            return value
        shape = shape_of(value)
        return TensorSpec(shape, value.dtype, tuple(leaf.shape) if None in shape[1:] else ())

    leaves = [spec(node, leaf) for node, leaf in zip(given, example, strict=True)]
    args, kwargs = pytree.tree_unflatten(leaves, program.call_spec.in_spec)
    return InputSpec(args, kwargs)


def _aliases(model: nn.Module) -> dict[str, tuple[str, ...]]:
    """For each parameter and buffer, the names of all that are the same tensor."""
    groups: dict[int, list[str]] = {}
    for named in (model.named_parameters(remove_duplicate=False), model.named_buffers(remove_duplicate=False)):
        for name, tensor in named:
            groups.setdefault(id(tensor), []).append(name)
    return {name: tuple(names) for names in groups.values() for name in names}


def _leaves(model: nn.Module) -> frozenset[str]:
    """The paths of the modules that have no modules in them."""
    modules = model.named_modules(remove_duplicate=False)
    return frozenset(path for path, module in modules if next(module.children(), None) is None)


def _observing(graph: GraphModule, nodes: Mapping[str, Node]) -> GraphModule:
    """Copy a graph into one that takes flat arguments, an observer first, and shows it each row's tensor."""
    copy = Graph()
    observe = copy.placeholder("observe")
    copied: dict[Node, Node] = {}
    outputs = copy.graph_copy(graph.graph, copied)
    copy.output(outputs)
    last_input = copy.find_nodes(op="placeholder")[-1]
    for name, node in nodes.items():
        made = copied[node]
        with copy.inserting_after(last_input if made.op == "placeholder" else made):
            copy.call_function(operator.call, (observe, name, made))
    return GraphModule(graph, copy)
