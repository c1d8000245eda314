"""Taking operations in place out of a captured graph: what one writes, later readers find in a tensor of its own.

A graph in which ``relu_`` overwrites what a convolution gave can be computed in one order and on one copy only; every
room that reads graphs would have to know which tensors share their memory. Here each such operation becomes the one
that gives a new tensor. Where it writes through a view (a slice, a chunk, a permutation of a tensor that is read
again), ``torch.export`` itself does that work, by scattering what was written back into the whole.
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.fx import Graph, GraphModule, Node

from qwidgets.errors import CaptureError
from qwidgets.network import operations


def writes_through_views(graph: Graph, nested: bool = False) -> bool:
    """Whether an operation in place changes a tensor that is read later under another name: its views, what it views.

    In the ``nested`` graph of a section with its own gradient mode, so does whatever writes to what comes in.

    Raises
    ------
    CaptureError
        It writes to what a dropout lets through as it is, and that is read again: tracing takes the two for different
        tensors, which in eval mode they are not.
    """
    order = {node: position for position, node in enumerate(graph.nodes)}
    storages = {node: _storages(node) for node in order}
    for node in graph.nodes:
        if operations.is_idle_dropout(node):
            storages[node] |= storages[node.args[0]]
    lying_in: dict[int, list[Node]] = {}
    for node in order:
        for storage in storages[node]:
            lying_in.setdefault(storage, []).append(node)
    same: dict[Node, Node] = {}
    for node in graph.nodes:
        if any(writes_through_views(body.graph, nested=True) for body in _bodies(node)):
            return True
        for written in _written(node):
            if functional_form(node) is None:
                return True
            tensor = same.setdefault(node, same.get(written, written))
            for other in (other for storage in storages[written] for other in lying_in[storage]):
                if order[other] >= order[node]:
                    continue
                if nested and other.op == "placeholder":
                    return True
                read_later = any(order[user] > order[node] for user in other.users)
                if read_later and same.get(other, other) is not tensor:
                    if not _storages(other) & _storages(written):
                        raise CaptureError(_after_dropout(node))
                    return True
    return False


def without_views_that_are_written_through(program: ExportedProgram) -> ExportedProgram:
    """Give the program in which every write through a view scatters into a new whole; the program itself is spent."""
    for node in list(program.graph.nodes):
        # One of unbind is a selection, of which torch knows the way back without fixing the size of the batch.
        source = node.args[0] if operations.name_of(node) == "getitem" else None
        if isinstance(source, Node) and operations.name_of(source) == "unbind":
            x, dim = (*source.args, 0)[:2]
            node.target, node.args = torch.ops.aten.select.int, (x, dim, node.args[1])
    decomposed: ExportedProgram = program.run_decompositions({})
    return decomposed


def make_functional(module: GraphModule) -> None:
    """Replace each operation in place by the one that gives a new tensor, and let later readers read that.

    Raises
    ------
    CaptureError
        One has no such form; or the network remembers something from call to call: it reads a buffer that it wrote to.
    """
    graph = module.graph
    remembered: set[str] = set()
    for node in list(graph.nodes):
        for written in _written(node):
            if written.op == "get_attr":
                remembered.add(str(written.target))
            if operations.name_of(node) == "copy" and not node.users and written.op in ("get_attr", "placeholder"):
                graph.erase_node(node)  # what a call leaves behind in a buffer or in its own input
                continue
            form = functional_form(node)
            if form is None:
                raise CaptureError(
                    f"{operations.name_of(node)} writes to a tensor in place{line_of(node)}, in a way that cannot be "
                    "undone; write it as an operation that gives a new tensor"
                )
            _read_after(node, written)
            node.target = form
    graph.eliminate_dead_code()
    for target in sorted(remembered):
        if any(_is_read(node) for node in graph.find_nodes(op="get_attr") if node.target == target):
            raise CaptureError(
                f"the network writes to its buffer {target!r} and reads it again, so that each call depends on those "
                "before; a format cannot be chosen for that. Pass the state as an input and give it back as an output"
            )


def functional_form(node: Node) -> object | None:
    """Give the operation that computes what this one does in place; None where there is none."""
    packet = getattr(node.target, "overloadpacket", None)
    if packet is None or not packet.__name__.endswith("_"):
        return None
    plain = getattr(torch.ops.aten, packet.__name__.removesuffix("_"), None)
    overload = getattr(plain, str(getattr(node.target, "_overloadname", "")), None)
    schema = getattr(overload, "_schema", None)
    return None if schema is None or schema.is_mutable else overload


def line_of(node: Node) -> str:
    """Name the innermost line of the user's code that an operation stands in: `` (line 3 of net.py: y[0] = 1)``."""
    lines = str(node.meta.get("stack_trace") or "").rstrip().splitlines()
    places = [index for index, line in enumerate(lines) if line.lstrip().startswith("File ")]
    if not places:
        return ""
    place = lines[places[-1]].strip().split('"')
    number = place[2].split("line ")[1].split(",")[0]
    code = " ".join(line.strip() for line in lines[places[-1] + 1 :] if line.strip(" ^~"))
    return f" (line {number} of {place[1]}: {code})"


def _written(node: Node) -> list[Node]:
    """The nodes whose tensors an operation overwrites."""
    schema = getattr(node.target, "_schema", None)
    if node.op != "call_function" or schema is None or not schema.is_mutable:
        return []
    given = dict(zip((argument.name for argument in schema.arguments), node.args, strict=False)) | node.kwargs
    found = (given.get(item.name) for item in schema.arguments if item.alias_info and item.alias_info.is_write)
    return [value for value in found if isinstance(value, Node)]


def _storages(node: Node) -> set[int]:
    """Which memory the tensors of a node lie in, as the trace knows."""
    value = operations.value_of(node)
    items = value if isinstance(value, (list, tuple)) else [value]
    return {item.untyped_storage()._cdata for item in items if isinstance(item, Tensor)}


def _bodies(node: Node) -> Iterator[GraphModule]:
    """The nested graphs that a node runs: sections with a gradient mode or an autocast of their own."""
    owner = node.graph.owning_module
    if operations.name_of(node).startswith("wrap_with_") and owner is not None:
        for given in node.all_input_nodes:
            body = getattr(owner, str(given.target), None) if given.op == "get_attr" else None
            if isinstance(body, GraphModule):
                yield body


def _read_after(node: Node, written: Node) -> None:
    """Let whoever reads a tensor after an operation overwrote it read what that gives."""
    at = node.next
    while at.op != "root":
        at.replace_input_with(written, node)
        at = at.next


def _is_read(node: Node) -> bool:
    """Whether a buffer's values, not only its shape, reach something."""
    return any(not operations.only_fills(user) for user in node.users)


def _after_dropout(node: Node) -> str:
    return (
        f"{operations.name_of(node)} writes in place to what a dropout gave{line_of(node)}, and what entered the "
        "dropout is read again; in eval mode both are one tensor. Write it as an operation that gives a new tensor"
    )
