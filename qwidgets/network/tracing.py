"""Turning a model into a graph of ATen operations without leaving a mark on it.

`trace` is ``torch.export`` with what it needs around it: a twin of the model that it may leave its marks on, the
batch dimension free, sections with their own autocast or gradient mode unfolded into the graph, checks that cost time
taken out, and the line of the user's code in the error when a model cannot be traced.
"""

import contextlib
import copy
import io
import logging
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram, ShapesCollection
from torch.export.passes import move_to_device_pass
from torch.fx import GraphModule, Node
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from qwidgets.errors import CaptureError
from qwidgets.network import operations, spoken_names
from qwidgets.network.folding import MADE_OF, MOVED
from qwidgets.network.functional import (
    make_functional,
    without_views_that_are_written_through,
    writes_through_views,
)
from qwidgets.network.inputs import FreeSizes
from qwidgets.network.plain_operations import simplify

_TORCH = str(Path(torch.__file__).parent)
_HERE = str(Path(__file__))
_ONE_AT_A_TIME = threading.Lock()
"""``torch.export`` keeps what it is doing in global variables; a widget may capture while a cell does."""


def trace(
    model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], free: FreeSizes = frozenset()
) -> ExportedProgram:
    """Export a model in eval mode, on the device on which its arguments lie, with the first dimension of each free.

    So are those of ``free``, as far as the model's code lets them.

    Raises
    ------
    CaptureError
        The model cannot be exported; the text names the line of its code.
    """
    home = device_of(list(model.parameters()) + list(model.buffers()))
    target = device_of(pytree.tree_leaves((args, kwargs)))
    if home is not None:
        args, kwargs = pytree.tree_map_only(Tensor, lambda tensor: tensor.to(home), (args, kwargs))
    args, kwargs = _never_one(args, kwargs, free)
    try:
        with _ONE_AT_A_TIME, _plain_mode(), _quiet():
            twin = _twin(model)
            _prepare(twin)
            args, kwargs = pytree.tree_map_only(Tensor, _usable, (args, kwargs))
            shapes: Any = ShapesCollection()
            for position, leaf in enumerate(pytree.tree_leaves((args, kwargs))):
                if isinstance(leaf, Tensor) and leaf.ndim:
                    shapes[leaf] = {0: Dim.AUTO} | {dim: Dim.AUTO for at, dim in free if at == position}
            with _FreeLengths() if free else contextlib.nullcontext():
                program = torch.export.export(twin, args, kwargs, dynamic_shapes=shapes, strict=False)
            if writes_through_views(program.graph):
                program = without_views_that_are_written_through(program)
    except CaptureError as error:
        raise CaptureError(f"{type(model).__name__} cannot be captured: {error}") from error
    except Exception as error:
        raise CaptureError(
            f"{type(model).__name__} cannot be captured{_where(error)}: {_first_lines(error)}\n"
            "Pass the submodule that holds the layers, without the code around it that depends on data."
        ) from error
    if home is not None and target is not None and target != home:
        program = move_to_device_pass(program, target)
    return program


def graph_of(program: ExportedProgram) -> tuple[GraphModule, Callable[..., object]]:
    """Give the program as a module that shares its parameters, owns its buffers, and holds the bare operations.

    None of them works in place, and none is another one in disguise. The second thing that is given is called with the
    same arguments, and raises an AssertionError where the model's code does something else for their sizes.

    Raises
    ------
    CaptureError
        An operation in place has no other form, or the network reads a buffer that it writes to.
    """
    renamed = spoken_names.rename(program)
    module = program.module()
    assert isinstance(module, GraphModule)
    checks: Callable[..., object] = getattr(module, "_guards_fn", _no_checks)
    module._forward_pre_hooks.clear()  # these check the shapes of the inputs, which is done elsewhere with better words
    for name, buffer in list(module.named_buffers(remove_duplicate=False)):
        owner, _, leaf = name.rpartition(".")
        module.get_submodule(owner)._buffers[leaf] = buffer.clone()
    for node in list(module.graph.nodes):
        if node.op == "call_module" or operations.name_of(node).startswith("_assert"):
            module.graph.erase_node(node)
        elif operations.name_of(node) == "wrap_with_set_grad_enabled":
            _unfold(node, skipped=1)
        elif operations.name_of(node) == "wrap_with_autocast":
            _unfold(node, skipped=4)
        elif operations.is_idle_dropout(node):
            node.replace_all_uses_with(node.args[0])
            module.graph.erase_node(node)
    for node in module.graph.find_nodes(op="get_attr"):
        if node.target in renamed:
            node.meta |= {MADE_OF: (renamed[node.target],), MOVED: True}
    make_functional(module)
    simplify(module)
    module.delete_all_unused_submodules()
    module.recompile()
    return module, checks


def _no_checks(*leaves: Any) -> None:
    """The model's code does the same for all sizes."""


def _twin(model: nn.Module) -> nn.Module:
    """Give the same modules over the same tensors, apart from the model.

    While it traces, ``torch.export`` puts fakes in the place of the parameters, and the model's own code and hooks set
    what they like. Another thread may run the model meanwhile, and must not see any of it.
    """
    twins: dict[nn.Module, nn.Module] = {}

    def of(value: Any) -> Any:
        if isinstance(value, nn.Module):
            if value not in twins:
                twins[value] = type(value).__new__(type(value))
                vars(twins[value]).update({name: of(attribute) for name, attribute in vars(value).items()})
            return twins[value]
        if isinstance(value, dict):
            own = copy.copy(value)
            own.update({key: of(item) for key, item in value.items()})
            return own
        return [of(item) for item in value] if type(value) is list else value

    return cast(nn.Module, of(model))


def _prepare(model: nn.Module) -> None:
    """Put the modules in eval mode, and tensors that were made in inference mode into a form that can be traced."""
    usable: dict[Tensor, Tensor] = {}
    for module in model.modules():
        module.training = False
        tables: tuple[dict[str, Any], ...] = (module._parameters, module._buffers)
        for table in tables:
            for name, tensor in table.items():
                if tensor is not None and tensor.is_inference():
                    copy = usable.setdefault(tensor, _usable(tensor))
                    table[name] = nn.Parameter(copy, False) if isinstance(tensor, nn.Parameter) else copy


def _usable(tensor: Tensor) -> Tensor:
    return tensor.clone() if tensor.is_inference() else tensor


@contextlib.contextmanager
def _plain_mode() -> Iterator[None]:
    """Trace every layer by itself: no gradients, no autocast of the caller's, no fused kernel for a whole encoder."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.inference_mode(False), torch.no_grad(), contextlib.ExitStack() as stack:
            for device in ("cpu", "cuda"):
                stack.enter_context(torch.autocast(device, enabled=False))
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep back what ``torch.export`` says before it fails: the whole graph, beside an error that says it in a line."""
    loggers = {
        logging.getLogger("torch.fx.experimental.symbolic_shapes"): logging.ERROR,
        logging.getLogger("torch._subclasses.fake_tensor"): logging.CRITICAL,
    }
    levels = {logger: logger.level for logger in loggers}
    for logger, level in loggers.items():
        logger.setLevel(level)
    said = io.StringIO()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(said):
            warnings.simplefilter("ignore")
            yield
        sys.stderr.write(said.getvalue())
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)


class _FreeLengths(TorchFunctionMode):
    """Writes ``max_pool1d``, whose length ``torch.export`` fixes, as a pool in two dimensions, which stay free."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = dict(zip(_MAX_POOL, args, strict=False)) | (kwargs or {})
        if not str(getattr(func, "__name__", "")).endswith("max_pool1d") or given.pop("return_indices", False):
            return func(*args, **(kwargs or {}))
        x = given.pop("input")
        ceil_mode = given.pop("ceil_mode", False)
        flat = {"padding": 0, "dilation": 1}
        sizes = {name: pytree.tree_leaves(size) for name, size in given.items() if size is not None}
        lifted = {name: (flat.get(name, 1), *size) for name, size in sizes.items() if size}
        return torch.max_pool2d(x.unsqueeze(-2), **lifted, ceil_mode=ceil_mode).squeeze(-2)


_MAX_POOL = ("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")


def _never_one(
    args: tuple[Any, ...], kwargs: dict[str, Any], free: FreeSizes
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Double a batch of one, or another free size, since ``torch.export`` takes a size of one to be meant for ever."""
    if free:
        leaves, structure = pytree.tree_flatten((args, kwargs))
        for position, dim in free:
            if leaves[position].shape[dim] == 1:
                leaves[position] = torch.cat([leaves[position]] * 2, dim)
        args, kwargs = pytree.tree_unflatten(leaves, structure)
    lengths = [leaf.shape[0] for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, Tensor) and leaf.ndim]
    if not lengths or lengths[0] != 1:
        return args, kwargs

    def double(tensor: Tensor) -> Tensor:
        return torch.cat([tensor, tensor]) if tensor.ndim and tensor.shape[0] == 1 else tensor

    doubled: tuple[tuple[Any, ...], dict[str, Any]] = pytree.tree_map_only(Tensor, double, (args, kwargs))
    return doubled


def device_of(leaves: list[Any]) -> torch.device | None:
    """Give the one device on which all these tensors lie; None when there are none or several."""
    devices = {leaf.device for leaf in leaves if isinstance(leaf, Tensor)}
    return devices.pop() if len(devices) == 1 else None


def _unfold(node: Node, skipped: int) -> None:
    """Put the operations of a nested graph in the place of the node that calls it, in its autocast if it has one."""
    graph = node.graph
    assert graph.owning_module is not None
    body = node.args[skipped]
    assert isinstance(body, Node)
    assert isinstance(body.target, str)
    inner = getattr(graph.owning_module, body.target)
    values: dict[Node, Any] = dict(zip(inner.graph.find_nodes(op="placeholder"), node.args[skipped + 1 :], strict=True))
    with graph.inserting_before(node):
        autocast = None
        if skipped > 1:
            autocast = graph.call_function(torch.amp.autocast_mode._enter_autocast, node.args[:skipped])
        for step in inner.graph.nodes:
            if step.op in ("placeholder", "output"):
                continue
            values[step] = graph.node_copy(step, values.__getitem__)
        if autocast is not None:
            graph.call_function(torch.amp.autocast_mode._exit_autocast, (autocast,))
    results = torch.fx.node.map_arg(inner.graph.output_node().args[0], values.__getitem__)
    for user in list(node.users):
        user.replace_all_uses_with(results[user.args[1]])
        graph.erase_node(user)
    graph.erase_node(node)
    if not body.users:
        graph.erase_node(body)


def _where(error: BaseException) -> str:
    """Name the innermost line of the user's own code among the errors that led to this one."""
    chain: list[BaseException] = []
    step: BaseException | None = error
    while step is not None and step not in chain:
        chain.append(step)
        step = step.__cause__ or step.__context__
    for cause in reversed(chain):
        frames = traceback.extract_tb(cause.__traceback__)
        begun = next((index for index, frame in enumerate(frames) if frame.filename.startswith(_TORCH)), len(frames))
        own = [frame for frame in frames[begun:] if not frame.filename.startswith((_TORCH, _HERE, "<"))]
        if own:
            return f" because of line {own[-1].lineno} of {own[-1].filename} ({own[-1].line})"
    return ""


def _first_lines(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return f"{type(error).__name__}: " + " ".join(text.splitlines()[:2])
