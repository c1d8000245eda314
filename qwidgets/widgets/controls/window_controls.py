"""The controls that move a window: a slider, number boxes, sign, rounding, overflow, and a notation.

They show one format and tell of every wish for another one; whether the wish is granted is decided elsewhere, and told
back by :meth:`WindowControls.show`. All of them can be reached and moved by keys.
"""

from collections.abc import Callable
from typing import Any

import ipywidgets

from qwidgets.formats import MAX_FRACTION_LENGTH, MAX_WORD_LENGTH, OVERFLOWS, ROUNDINGS, FixedPoint
from qwidgets.widgets.controls import window_moves
from qwidgets.widgets.controls.inputs import bar, checkbox, choice, number_box, set_traits, text_box
from qwidgets.widgets.controls.lifetime import Holder
from qwidgets.widgets.controls.silence import Silence
from qwidgets.widgets.controls.window_slider import WindowSlider

Move = Callable[[FixedPoint], FixedPoint]
"""A wish: what a format is to become. It may refuse with a FormatError."""


class WindowControls(Holder):
    """Controls for one format.

    Parameters
    ----------
    on_move
        Called with what to do with a format while a window is in motion.
    on_choose
        Called with what to do with a format, once.
    on_write
        Called with the notation that was written.

    Attributes
    ----------
    slider, boxes, choices, notation
        To be put on the screen.
    """

    def __init__(
        self, on_move: Callable[[Move], None], on_choose: Callable[[Move], None], on_write: Callable[[str], None]
    ) -> None:
        self._on_move, self._on_choose, self._on_write = on_move, on_choose, on_write
        self._silence = Silence()
        self._fmt = FixedPoint()
        self.slider = WindowSlider()
        self.slider.observe(self._on_slider, "window")
        most = MAX_FRACTION_LENGTH
        self._msb = number_box("msb", -most, most, self._on_msb, width=98, tooltip="Position of the highest bit kept")
        self._lsb = number_box("lsb", -most, most, self._on_lsb, width=98, tooltip="Position of the lowest bit kept")
        self._word_length = number_box(
            "bits", 1, MAX_WORD_LENGTH, self._on_word_length, width=98, tooltip="Word length, the sign bit counted"
        )
        self._hold = checkbox("hold length", None, "For the boxes and the brush: keep the word length as an edge moves")
        self._hold.value = True
        self._sign, self._rounding, self._overflow = (
            choice(title, options, on_change, width=width)
            for title, options, on_change, width in (
                ("sign", ("signed", "unsigned"), self._on_sign, 134),
                ("rounding", ROUNDINGS, self._on_mode, 170),
                ("overflow", OVERFLOWS, self._on_mode, 158),
            )
        )
        self.notation = text_box(
            "notation",
            self._on_notation,
            layout=ipywidgets.Layout(width="290px", max_width="100%"),
            continuous_update=False,
            placeholder="Q4.3, ap_fixed<8,5>, 2^3..2^-3 …",
        )
        self.boxes = bar(self._msb, self._lsb, self._word_length)
        self.choices = bar(self._sign, self._hold, self._rounding, self._overflow)

    @property
    def hold_length(self) -> bool:
        """Whether the word length stays when an edge of the window moves."""
        return bool(self._hold.value)

    def show(self, fmt: FixedPoint | None, top: int, bottom: int, *, enabled: bool) -> None:
        """Show a format (None: float) between the bits ``top`` and ``bottom``; not enabled, nothing can be moved."""
        with self._silence:
            movable = enabled and fmt is not None
            self._fmt = fmt or self._fmt
            with self.slider.hold_sync():
                window = (fmt.msb, fmt.lsb) if fmt else None
                set_traits(self.slider, top=top, bottom=bottom, window=window, disabled=not movable)
            for control in (*self.boxes.children, *self.choices.children):
                set_traits(control, disabled=not movable)
            set_traits(
                self.notation, disabled=not enabled, value="float" if fmt is None else fmt.notation("numerictype")
            )
            if fmt is None:
                return
            set_traits(self._msb, value=fmt.msb)
            set_traits(self._lsb, value=fmt.lsb)
            set_traits(self._word_length, value=fmt.word_length, min=1 + fmt.signed)
            set_traits(self._sign, value="signed" if fmt.signed else "unsigned")
            set_traits(self._rounding, value=fmt.rounding)
            set_traits(self._overflow, value=fmt.overflow)

    def name(self, format_name: str) -> None:
        """Show the name of a format that has no single window to be moved."""
        with self._silence:
            set_traits(self.notation, value=format_name)

    def _on_slider(self, event: Any) -> None:
        self._move(lambda fmt: window_moves.with_window(fmt, *event.new))

    def _on_msb(self, event: Any) -> None:
        self._move(lambda fmt: window_moves.with_msb(fmt, event.new, hold_length=self.hold_length))

    def _on_lsb(self, event: Any) -> None:
        self._move(lambda fmt: window_moves.with_lsb(fmt, event.new, hold_length=self.hold_length))

    def _on_word_length(self, event: Any) -> None:
        self._move(lambda fmt: window_moves.with_word_length(fmt, event.new))

    def _on_sign(self, event: Any) -> None:
        self._choose(lambda fmt: window_moves.with_sign(fmt, event.new == "signed"))

    def _on_mode(self, _: Any) -> None:
        rounding, overflow = self._rounding.value, self._overflow.value
        self._choose(lambda fmt: window_moves.with_mode(fmt, rounding, overflow))

    def _on_notation(self, event: Any) -> None:
        if not self._silence and event.new.strip():
            self._on_write(event.new)

    def _move(self, move: Move) -> None:
        if not self._silence:
            self._on_move(move)

    def _choose(self, move: Move) -> None:
        if not self._silence:
            self._on_choose(move)
