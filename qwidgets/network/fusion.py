"""Which operations of a graph become one in hardware, and what a batch norm does to the weights of the layer before it.

A convolution or linear layer, the batch norm that scales what it gives, and the activation function that follows are
one step of an accelerator: only what leaves the last of them is rounded to a format. Nothing here knows of names or
rows.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.fx import Node

from qwidgets.network import operations


@dataclass(frozen=True)
class Group:
    """Operations that are one: the first, the batch norm folded into it, the activation function on its accumulator."""

    head: Node
    batch_norm: Node | None = None
    activation: Node | None = None

    @property
    def nodes(self) -> tuple[Node, ...]:
        """All of them, in the order in which they run."""
        return tuple(node for node in (self.head, self.batch_norm, self.activation) if node is not None)

    @property
    def end(self) -> Node:
        """The one whose value leaves."""
        return self.nodes[-1]


def fuse(heads: Iterable[Node], identity: Callable[[Node], object]) -> list[Group]:
    """Group the nodes of a graph, given all that make values of their own in the order in which they run.

    ``identity`` tells whether two constant nodes hold the same tensor: a weight that two layers share can be scaled
    only if the same batch norm follows both.
    """
    heads = list(heads)
    norms = {head: _foldable_norm(head) for head in heads}
    scaled_by: dict[object, set[object]] = {}
    for head in heads:
        norm = norms[head]
        scale = None if norm is None else tuple(map(identity, norm.all_input_nodes[1:]))
        own = _constants(head)
        for before in head.all_input_nodes:
            source = operations.trail_of(before)[-1]
            scaled_by.setdefault(identity(source), set()).add(scale if source in own else None)

    groups: list[Group] = []
    taken: set[Node] = set()
    for head in heads:
        if head in taken:
            continue
        norm = norms[head]
        if norm is not None and any(len(scaled_by[identity(constant)]) > 1 for constant in _constants(head)):
            norm = None
        activation = _only_user(norm or head) if operations.accumulates(head) else None
        if activation is not None and not operations.is_activation(activation):
            activation = None
        groups.append(Group(head, norm, activation))
        taken.update(groups[-1].nodes)
    return groups


def scale_and_shift(norm: Node, tensor_of: Callable[[Node], Tensor]) -> tuple[Tensor, Tensor]:
    """Give the float64 scale and shift of each channel that a batch norm in eval mode amounts to.

    ``scale = weight / sqrt(running_var + eps)``, ``shift = bias - running_mean * scale``.
    """
    weight, bias, mean, variance = (
        tensor_of(node).detach().double() if isinstance(node, Node) else None for node in norm.args[1:5]
    )
    assert mean is not None
    assert variance is not None
    eps = norm.args[7]
    assert isinstance(eps, float)
    scale = (variance + eps).rsqrt() if weight is None else weight * (variance + eps).rsqrt()
    shift = -mean * scale if bias is None else bias - mean * scale
    return scale, shift


def fold(
    group: Group, weight: Tensor, bias: Tensor | None, tensor_of: Callable[[Node], Tensor]
) -> tuple[Tensor, Tensor]:
    """Give the float32 weight and bias of a layer that does the work of its batch norm too."""
    assert group.batch_norm is not None
    scale, shift = scale_and_shift(group.batch_norm, tensor_of)
    folded = weight.detach().double()
    if "transpose" in operations.name_of(group.head):  # (in, out / groups, ...): output channels run over groups first
        groups = group.head.args[6] if len(group.head.args) > 6 else 1
        assert isinstance(groups, int)
        grouped = folded.reshape(groups, -1, *folded.shape[1:])
        folded = (grouped * _along(scale.reshape(groups, 1, -1), grouped)).reshape(folded.shape)
    else:
        folded = folded * _along(scale, folded)
    if bias is not None:
        shift = shift + bias.detach().double() * scale
    dtype = torch.float64 if weight.dtype == torch.float64 else torch.float32
    return folded.to(dtype), shift.to(dtype)


def _along(leading: Tensor, whole: Tensor) -> Tensor:
    return leading.reshape(*leading.shape, *([1] * (whole.ndim - leading.ndim)))


def _only_user(node: Node) -> Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None


def _constants(head: Node) -> list[Node]:
    """The nodes of the weight and the bias that a batch norm would be folded into."""
    found = (operations.weight_of(head), operations.bias_of(head))
    return [node for node in found if node is not None]


def _foldable_norm(head: Node) -> Node | None:
    norm = _only_user(head)
    if norm is None or not operations.is_batch_norm(norm) or norm.args[0] is not head:
        return None
    if any(operations.only_moves(node) for node in _constants(head)):
        return None
    if operations.is_convolution(head):
        return norm
    value = operations.value_of(head)
    if operations.name_of(head) == "linear" and isinstance(value, Tensor) and value.ndim == 2:
        return norm
    return None
