"""The controls that move a window: sliders, number boxes, sign, rounding, overflow, and a notation.

They show one format and tell of every wish for another one; whether the wish is granted is decided elsewhere, and told
back by :meth:`WindowControls.show`. All of them can be reached and moved by keys.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ipywidgets

from qwidgets.formats import MAX_FRACTION_LENGTH, MAX_WORD_LENGTH, OVERFLOWS, ROUNDINGS, FixedPoint
from qwidgets.widgets.controls import window_moves
from qwidgets.widgets.controls.lifetime import Holder, close_tree

BEFORE_RAIL = 12
AFTER_RAIL = 9

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
    sliders, boxes, choices, notation
        To be put on the screen.
    """

    def __init__(
        self, on_move: Callable[[Move], None], on_choose: Callable[[Move], None], on_write: Callable[[str], None]
    ) -> None:
        self._on_move, self._on_choose, self._on_write = on_move, on_choose, on_write
        self._own = False
        self._fmt = FixedPoint()
        self._limits = (0, -7)
        self._inset = "60px"
        self.sliders = ipywidgets.VBox()
        self.sliders.add_class("qw-sliders")
        self._new_sliders()
        self._msb = _number("msb", "Position of the highest bit kept", MAX_FRACTION_LENGTH)
        self._lsb = _number("lsb", "Position of the lowest bit kept", MAX_FRACTION_LENGTH)
        self._word_length = _number("bits", "Word length, the sign bit counted", MAX_WORD_LENGTH)
        self._word_length.min = 1
        self._hold = ipywidgets.Checkbox(value=True, description="hold length", indent=False)
        self._hold.tooltip = "For the boxes and the brush: keep the word length when an edge moves"
        self._hold.layout.width = "108px"
        self._sign = _choice("sign", ("signed", "unsigned"))
        self._rounding = _choice("rounding", ROUNDINGS)
        self._overflow = _choice("overflow", OVERFLOWS)
        self.notation = ipywidgets.Text(
            continuous_update=False,
            placeholder="Q4.3, ap_fixed<8,5>, 2^3..2^-3 …",
            layout=ipywidgets.Layout(width="290px", max_width="100%"),
        )
        self.notation.description = "notation"
        self.notation.style.description_width = "64px"
        self.boxes = _row(self._msb, self._lsb, self._word_length, self._hold)
        self.choices = _row(self._sign, self._rounding, self._overflow)
        self._msb.observe(self._on_msb, "value")
        self._lsb.observe(self._on_lsb, "value")
        self._word_length.observe(self._on_word_length, "value")
        self._sign.observe(self._on_sign, "value")
        self._rounding.observe(self._on_mode, "value")
        self._overflow.observe(self._on_mode, "value")
        self.notation.observe(self._on_notation, "value")

    @property
    def hold_length(self) -> bool:
        """Whether the word length stays when an edge of the window moves."""
        return bool(self._hold.value)

    def show(self, fmt: FixedPoint | None, top: int, bottom: int, *, enabled: bool) -> None:
        """Show a format (None: float) between the bits ``top`` and ``bottom``; not enabled, nothing can be moved."""
        with self._silently():
            movable = enabled and fmt is not None
            self._fmt = fmt or self._fmt
            if (top, bottom) != self._limits:
                self._limits = (top, bottom)
                self._new_sliders()
            for control in (*self.sliders.children, *self.boxes.children, *self.choices.children):
                _set(control, disabled=not movable)
            _set(self.notation, disabled=not enabled, value="float" if fmt is None else fmt.notation("numerictype"))
            if fmt is None:
                return
            self._show_sliders()
            _set(self._msb, value=fmt.msb)
            _set(self._lsb, value=fmt.lsb)
            _set(self._word_length, value=fmt.word_length, min=1 + fmt.signed)
            _set(self._sign, value="signed" if fmt.signed else "unsigned")
            _set(self._rounding, value=fmt.rounding)
            _set(self._overflow, value=fmt.overflow)

    def name(self, format_name: str) -> None:
        """Show the name of a format that has no single window to be moved."""
        with self._silently():
            _set(self.notation, value=format_name)

    def _new_sliders(self) -> None:
        """Make sliders over the bits that are drawn.

        One that is given other options sends stale positions from the browser, so each range of bits has its own. There
        are two, because a handle that the kernel moves while a person moves another one would fight with the hand:
        what each of them sets, nothing corrects.
        """
        for old in self.sliders.children:
            close_tree(old)
        top, bottom = self._limits
        options = [(f"2^{bit}", bit) for bit in range(top, bottom - 1, -1)]
        self._mover = ipywidgets.SelectionSlider(options=options, description="move", tooltip="Moves the whole window")
        self._edges = ipywidgets.SelectionRangeSlider(
            options=options, description="edges", tooltip="Moves the edges: the word grows or shrinks"
        )
        for slider in (self._mover, self._edges):
            slider.readout = False
            slider.layout.width, slider.layout.min_width = "auto", "0"
        self._show_sliders()
        self._mover.observe(self._on_mover, "value")
        self._edges.observe(self._on_edges, "value")
        self.sliders.children = (self._mover, self._edges)
        self.align(self._inset)

    def align(self, inset: str) -> None:
        """Let the rails of the sliders begin and end a CSS length from the sides; 100cqw is the width of their box."""
        self._inset = inset
        for slider in (self._mover, self._edges):
            _set(slider.style, description_width=f"calc({inset} - {BEFORE_RAIL}px)")
            _set(slider.layout, margin=f"0 calc({inset} - {AFTER_RAIL}px) 0 0")

    def _show_sliders(self) -> None:
        """Set the sliders to the window; to their ends where it reaches beyond what is drawn."""
        top, bottom = self._limits
        msb, lsb = (min(max(bit, bottom), top) for bit in (self._fmt.msb, self._fmt.lsb))
        _set(self._mover, value=msb)
        _set(self._edges, value=(msb, lsb))

    def _on_mover(self, event: Any) -> None:
        self._move(lambda fmt: window_moves.with_msb(fmt, event.new, hold_length=True))

    def _on_edges(self, event: Any) -> None:
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
        if not self._own and event.new.strip():
            self._on_write(event.new)

    def _move(self, move: Move) -> None:
        if not self._own:
            self._on_move(move)

    def _choose(self, move: Move) -> None:
        if not self._own:
            self._on_choose(move)

    @contextmanager
    def _silently(self) -> Iterator[None]:
        self._own = True
        try:
            yield
        finally:
            self._own = False


def _set(control: ipywidgets.Widget, **state: object) -> None:
    for name, value in state.items():
        if getattr(control, name) != value:
            setattr(control, name, value)


def _number(name: str, tooltip: str, most: int) -> ipywidgets.BoundedIntText:
    box = ipywidgets.BoundedIntText(min=-most, max=most, description=name, tooltip=tooltip)
    box.style.description_width = "28px"
    box.layout.width = "98px"
    return box


def _choice(name: str, options: tuple[str, ...]) -> ipywidgets.Dropdown:
    box = ipywidgets.Dropdown(options=options, description=name)
    box.style.description_width = "64px"
    box.layout.width = "182px"
    return box


def _row(*controls: ipywidgets.Widget) -> ipywidgets.HBox:
    row = ipywidgets.HBox(controls)
    row.add_class("qw-bar")
    return row
