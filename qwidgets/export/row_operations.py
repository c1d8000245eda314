"""Which operations make a row: the one that it begins with, and the activation function on its sums."""

from qwidgets.network import Operation
from qwidgets.simulation import Program


def operations_of(program: Program, node: Operation) -> tuple[Operation, Operation | None]:
    """Give the operation that the row of ``node`` begins with, and the activation function on its sums, if any."""
    activation = None
    if node.is_activation:
        before = node.operands[0]
        if before in program.sums or before.is_folded:
            activation = node if before.slot is None else None
    head = node if activation is None else activation.operands[0]
    if head.is_folded:
        head = head.operands[0]
    return head, activation
