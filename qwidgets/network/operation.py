"""One operation of a captured network, as everything above the capture reads it.

An :class:`Operation` stands for one node of the traced graph, and says once and for all what the node does: what it
reads, by name; what leaves it; in which row that ends, and whether a format is given to it there; what is folded into
what. Programs of integers, costs, targets and exporters read these and never the graph. It holds no values.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor

from qwidgets.network import operations
from qwidgets.network.rows import shape_of

OperationKind = Literal["input", "constant", "call", "output"]


@dataclass(frozen=True, eq=False, repr=False)
class Operation:
    """One operation of a captured network; inputs, constants and the outputs are operations, too.

    Attributes
    ----------
    index
        Its place in the order of execution.
    kind
        "input", "constant", "call" or "output".
    name
        What it does: "conv2d", "add"; its kind where it is no call.
    target
        The function of torch that it calls; of an input or constant its name in the network.
    args, kwargs
        What it is called with; operations in the place of what they give.
    arguments
        The same by name, with those that were left out; empty where torch does not name them.
    operands
        The operations that it reads, each once.
    value
        What left it when the network was traced: a tensor without values, a list of such, a number.
    label
        Its name in the traced graph, which no other operation has.
    module
        The path of the module whose code calls it, "" for the model's own.
    is_torch_layer
        Whether that module is a layer of torch's own.
    slot
        The row whose format what leaves it is given; None where it gets none.
    constant
        The row whose values it gives, before a batch norm is folded in; None where it gives none.
    batch_norm
        The batch norm that is folded into it.
    is_folded
        Whether it is such a batch norm.
    """

    index: int
    kind: OperationKind
    name: str
    target: Any
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    arguments: Mapping[str, Any]
    operands: "tuple[Operation, ...]"
    value: object
    label: str
    module: str
    is_torch_layer: bool
    slot: str | None
    constant: str | None
    is_folded: bool
    facts: "Facts"
    _users: "list[Operation]" = field(default_factory=list)

    def __repr__(self) -> str:
        return f"<Operation {self.index} {self.name}, {self.row}>"

    # What leaves it

    @property
    def shape(self) -> tuple[int | None, ...]:
        """The sizes of the tensor that leaves it, None for each that is free; () where no single tensor does."""
        return shape_of(self.value) if isinstance(self.value, Tensor) else ()

    @property
    def dtype(self) -> torch.dtype:
        """The element type of the tensor that leaves it; the default one where no single tensor does."""
        return self.value.dtype if isinstance(self.value, Tensor) else torch.get_default_dtype()

    @property
    def is_float(self) -> bool:
        """Whether it gives one tensor of real floating-point numbers."""
        return isinstance(self.value, Tensor) and self.value.is_floating_point()

    @property
    def users(self) -> "tuple[Operation, ...]":
        """The operations that read it, in the order of execution."""
        return tuple(self._users)

    @cached_property
    def last_reads(self) -> "tuple[Operation, ...]":
        """The operands that nothing after it reads."""
        return tuple(read for read in self.operands if read._users[-1] is self)

    @cached_property
    def row(self) -> str:
        """The row that its value ends up in; where it ends in none, its name in the graph."""
        reached: list[Operation] = [self]
        for at in reached:
            if at.slot is not None:
                return at.slot
            reached.extend(user for user in at.users if user not in reached)
        return self.label

    # What it does

    @property
    def is_call(self) -> bool:
        """Whether it computes, moves or makes something."""
        return self.kind == "call"

    @property
    def only_moves(self) -> bool:
        """Whether every value that leaves it came in through one tensor, so that it can share that one's format."""
        return self.facts.moves_through is not None

    @property
    def only_fills(self) -> bool:
        """Whether it gives a tensor that says nothing: of zeros, of ones, of one number."""
        return self.facts.only_fills

    @property
    def filled_with(self) -> float | None:
        """The number that it gives a tensor of, where one is known."""
        return self.facts.filled_with

    @property
    def makes_values(self) -> bool:
        """Whether floats leave it that did not come in as they are: it computes."""
        return self.facts.makes_values

    @property
    def is_batch_norm(self) -> bool:
        """Whether it is a batch norm that uses its running statistics: a fixed scale and shift of each channel."""
        return self.facts.is_batch_norm

    @property
    def is_lookup(self) -> bool:
        """Whether it looks values up in a table."""
        return self.name == "embedding"

    @property
    def is_activation(self) -> bool:
        """Whether it is a function of one tensor, value by value, as hardware computes on an accumulator."""
        return self.facts.is_activation

    @property
    def is_convolution(self) -> bool:
        """Whether it is a convolution of one to three dimensions, transposed or not."""
        return self.facts.is_convolution

    @property
    def weight(self) -> "Operation | None":
        """What a convolution or a linear layer multiplies with."""
        return self._operand(self.facts.weight)

    @property
    def bias(self) -> "Operation | None":
        """What a convolution, a linear layer or ``addmm`` adds to its products."""
        return self._operand(self.facts.bias)

    @property
    def slopes(self) -> "Operation | None":
        """What a PReLU multiplies negative values with."""
        return self._operand(self.facts.slopes)

    @property
    def clamp_bounds(self) -> tuple[Any, Any]:
        """The least and the most that it lets through, None where there is no such bound.

        Numbers or, after an equalization, tensors of one for each channel.
        """
        return operations.clamp_bounds(self.name, self.arguments)

    @cached_property
    def trail(self) -> "list[Operation]":
        """Itself and, as long as values are only moved, the operations that they come through, back to their source."""
        trail: list[Operation] = [self]
        while trail[-1].facts.moves_through is not None:
            trail.append(trail[-1].operands[trail[-1].facts.moves_through])
        return trail

    def _operand(self, place: int | None) -> "Operation | None":
        return None if place is None else self.operands[place]

    @property
    def source(self) -> "Operation":
        """The operation that made the values which this one moves; itself where it makes them."""
        return self.trail[-1]


@dataclass(frozen=True)
class Facts:
    """What the table of operations says of one, as it was traced; read by the properties of :class:`Operation`.

    Attributes
    ----------
    moves_through
        Which of the operands the values come in through that it only moves.
    weight, bias, slopes
        Which of the operands they are.
    """

    moves_through: int | None
    only_fills: bool
    filled_with: float | None
    makes_values: bool
    is_batch_norm: bool
    is_activation: bool
    is_convolution: bool
    weight: int | None
    bias: int | None
    slopes: int | None


@dataclass(frozen=True)
class Layer:
    """A layer that multiplies with a weight: its operations, and the rows that its tensors have.

    Attributes
    ----------
    name
        As of the row that leaves it.
    head, batch_norm, activation
        The operation that multiplies, the batch norm folded into it, and the activation function on its sums.
    weight_row, bias_row, output_row
        Where its tensors get their formats.
    """

    name: str
    head: Operation
    batch_norm: Operation | None
    activation: Operation | None
    weight_row: str
    bias_row: str | None
    output_row: str

    @property
    def operation(self) -> str:
        """What it does: "conv2d", "linear"."""
        return self.head.name
