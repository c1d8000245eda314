"""A box to type or paste numbers into, with a line under it that marks what is no number."""

from collections.abc import Callable
from typing import Any

import ipywidgets
import numpy as np
import numpy.typing as npt

from qwidgets.teaching import read_numbers, values_text
from qwidgets.widgets.controls import bit_grid
from qwidgets.widgets.controls.hearing import heard_whole
from qwidgets.widgets.controls.lifetime import Holder
from qwidgets.widgets.controls.silence import Silence

Floats = npt.NDArray[np.float64]

MOST_WRITTEN = 100
LONGEST_LIVE = 2000
"""Characters up to which each key is sent to the kernel at once, and not the whole text when one leaves the box."""


class NumberInput(Holder):
    """A text box for numbers.

    Parameters
    ----------
    on_numbers
        Called with the numbers in the text when a person changed it.
    height
        In pixels; a box of one line is 32 high.

    Attributes
    ----------
    text, faults
        To be put on the screen.
    """

    def __init__(self, on_numbers: Callable[[Floats], None], height: int = 32) -> None:
        self._on_numbers = on_numbers
        self._silence = Silence()
        self.text = heard_whole(ipywidgets.Textarea)(
            description="values",
            rows=1,
            layout=ipywidgets.Layout(flex="1 1 320px", max_width="760px", height=f"{height}px"),
        )
        self.text.style.description_width = "44px"
        self.text.observe(self._on_text, "value")
        self.faults = ipywidgets.HTML()

    def show(self, values: Floats) -> None:
        """Write these numbers into the box, unless they stand there already."""
        if np.array_equal(read_numbers(self.text.value).values, values, equal_nan=True):
            return
        short = values.size <= MOST_WRITTEN
        with self._silence:
            self.text.value = values_text(values) if short else ""
        self.text.placeholder = "type or paste numbers" if short else f"{values.size:,} values; type others here"
        self.faults.value = ""

    def _on_text(self, event: Any) -> None:
        self.text.continuous_update = len(event.new) < LONGEST_LIVE
        if not self._silence:
            pasted = read_numbers(event.new)
            self.faults.value = bit_grid.marked(pasted)
            self._on_numbers(pasted.values)
