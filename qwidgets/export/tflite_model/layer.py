"""What a writer of one operation is told, and how it ends a row."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qwidgets.export.c_code.finishing import OutputStage
from qwidgets.export.tflite_model.graph import Tensor
from qwidgets.export.tflite_model.places import Order, Place
from qwidgets.network import Operation

if TYPE_CHECKING:
    from qwidgets.export.tflite_model.translation import Translation


class LayerSpec:
    """One operation of a network, and the row that it gives.

    Attributes
    ----------
    to
        Where it is written.
    node, row, given
        The operation, the row that it gives, and its arguments by name.
    shape
        Of the result, for one example.
    ending
        What comes after the sums.
    """

    def __init__(
        self, to: "Translation", node: Operation, row: str, shape: tuple[int, ...], ending: OutputStage
    ) -> None:
        self.to, self.node, self.row, self.shape, self.ending = to, node, row, shape, ending
        self.given: Mapping[str, Any] = to.program.arguments[node]

    @property
    def graph(self) -> Any:
        """Where operators are added."""
        return self.to.graph

    def output(self, order: Order, shape: tuple[int, ...] | None = None) -> Place:
        """Make the tensor of the row, in an order, and of other dimensions than that says if they are given."""
        lying = tuple(self.shape[axis] for axis in order)
        tensor: Tensor = self.to.tensor(self.row, lying if shape is None else shape, self.ending.fmt)
        return Place(tensor, self.shape, order, self.ending.fmt)

    def with_fmt(self, place: Place) -> Place:
        """Give the same place as one of the row's format."""
        return replace(place, fmt=self.ending.fmt)
