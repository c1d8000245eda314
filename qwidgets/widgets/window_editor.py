"""The window editor: the bits of the selected tensor, its window under a brush, and what moving it would cost."""

import time
from typing import Any

import ipywidgets

from qwidgets.errors import FormatError, QwidgetsError
from qwidgets.fixed_point import FixedPoint
from qwidgets.planning.plan_state import Format
from qwidgets.widgets import preview_words, style, window_moves
from qwidgets.widgets.bit_bars import BitBars
from qwidgets.widgets.guarded import guarded
from qwidgets.widgets.plan_view import PlanView
from qwidgets.widgets.window_controls import Move, WindowControls

GESTURE_SECONDS = 1.0
"""Moves that follow each other faster than this are one step for undo."""


class WindowEditor(PlanView):
    """Moves the windows of the selected tensors, and tells at once what that would do to their values.

    With several tensors selected the first is drawn, and what is done to its window is done to all that are not locked
    or in float: each moves from where it stands.

    Parameters
    ----------
    plan
        What is edited; every move is a draft of it.
    selection
        Names of the tensors that are edited.
    """

    def _build(self) -> tuple[ipywidgets.Widget, ...]:
        self.add_class("qw-editor")
        self._moved_at = 0.0
        self._own = False
        self._title = ipywidgets.HTML()
        self._title.layout.flex = "1 1 200px"
        self._previous = _button("Previous", "arrow-left", lambda _: self._step(-1))
        self._next = _button("Next", "arrow-right", lambda _: self._step(1))
        self._lock = ipywidgets.Checkbox(description="locked", indent=False, layout=ipywidgets.Layout(width="80px"))
        self._float = ipywidgets.Checkbox(
            description="keep float", indent=False, layout=ipywidgets.Layout(width="98px")
        )
        self._lock.observe(self._on_lock, "value")
        self._float.observe(self._on_float, "value")
        self._bars = BitBars(self._on_brush)
        self._controls = WindowControls(self._on_move, self._on_choose, self._on_write)
        self._figures = ipywidgets.HTML()
        self._empty = ipywidgets.HTML(
            "<span class='qw-quiet'>Select a tensor to see its bits and move its window.</span>"
        )
        left = ipywidgets.VBox([self._bars.widget, self._controls.sliders, self._controls.boxes])
        right = ipywidgets.VBox([self._controls.choices, self._controls.notation, self._figures])
        for column, basis in ((left, "460px"), (right, "400px")):
            column.layout = ipywidgets.Layout(flex=f"1 1 {basis}", min_width="0", max_width="100%")
            column.add_class("qw-column")
        head = ipywidgets.HBox([self._title, self._previous, self._next, self._float, self._lock])
        columns = ipywidgets.HBox([left, right])
        head.add_class("qw-bar")
        columns.layout.flex_flow = "row wrap"
        self._panel = ipywidgets.VBox([head, columns])
        self._place = ipywidgets.VBox([self._empty])
        return (self._place,)

    def _show(self, changed: frozenset[str]) -> None:
        if changed & set(self.selection):
            self._show_selection()

    def _show_selection(self) -> None:
        # A figure that is first shown hidden stays blank, so the panel enters the page when it has something to show.
        content = (self._panel,) if self.selection else (self._empty,)
        if self._place.children != content:
            self._place.children = content
        if not self.selection:
            return
        name = self.selection[0]
        fmt, committed = _one_window(self.plan[name]), _one_window(self.plan.committed[name])
        self._show_title(name)
        if self.plan.calibration is not None:
            histogram = self.plan.calibration[name]
            self._bars.show(name, histogram.msb_counts("positive"), histogram.msb_counts("negative"), fmt, committed)
        self._controls.align(self._bars.inset)
        self._controls.show(fmt, self._bars.top, self._bars.bottom, enabled=bool(self._free()))
        if fmt is None and self.plan[name] is not None:
            self._controls.name(str(self.plan[name]))
        self._own = True
        try:
            self._lock.value = set(self.selection) <= self.plan.locked
            self._float.value = all(self.plan[name] is None for name in self.selection)
            self._float.disabled = not self._free()
        finally:
            self._own = False
        self._show_figures()

    def _show_title(self, name: str) -> None:
        row = self.plan.row(name)
        about = " + ".join(row.fused) if len(row.fused) > 1 else row.operation
        others = len(self.selection) - 1
        more = f" <b>and {others} more</b>: each moves from where it stands" if others else ""
        locked = len(self.selection) - len(self._free())
        if others and locked:
            more += f"; {locked} locked, left alone"
        self._title.value = (
            f"<b class='qw-name'>{style.escaped(name)}</b>{more} "
            f"<span class='qw-quiet'>{style.escaped(row.kind)} · {style.escaped(about)}</span>"
        )

    def _show_figures(self) -> None:
        if self.plan.calibration is None:
            self._figures.value = "<span class='qw-quiet'>Without a calibration there is nothing to preview.</span>"
            return
        drafts = [preview for name in self.selection if (preview := self.plan.preview(name))]
        committed = [preview for name in self.selection if (preview := self.plan.committed_preview(name))]
        self._figures.value = preview_words.figures(
            preview_words.together(drafts),
            preview_words.together(committed),
            several=len(self.selection) > 1,
            is_draft=any(name in self.plan.drafts for name in self.selection),
        )

    def _free(self) -> list[str]:
        return [name for name in self.selection if name not in self.plan.locked]

    def _move(self, move: Move, *, continues: bool) -> None:
        """Do to all tensors that are selected what a move does to the first one's format."""
        old = _one_window(self.plan[self.selection[0]]) if self.selection else None
        if old is None:
            return
        movable = {name: fmt for name in self._free() if (fmt := _one_window(self.plan[name]))}
        try:
            moved = window_moves.together(movable, old, move(old))
            (self.plan.redraft if continues else self.plan.draft)(moved)
        except QwidgetsError:
            self._show_selection()  # the controls went where the plan did not follow
            raise

    def _move_on(self, move: Move) -> None:
        """As one step for undo with the moves just before."""
        now = time.monotonic()
        continues = now - self._moved_at < GESTURE_SECONDS
        self._moved_at = now
        self._move(move, continues=continues)

    @guarded
    def _on_move(self, move: Move) -> None:
        self._move_on(move)

    @guarded
    def _on_brush(self, msb: int, lsb: int) -> None:
        hold = self._controls.hold_length
        self._move_on(lambda fmt: window_moves.with_edges(fmt, msb, lsb, hold_length=hold))
        self._show_selection()  # the brush snaps to whole bits

    @guarded
    def _on_choose(self, move: Move) -> None:
        self._move(move, continues=False)

    @guarded
    def _on_write(self, text: str) -> None:
        fmt = None if text.strip().casefold() == "float" else _read(text)
        self.plan.draft(dict.fromkeys(self._free(), fmt))

    @guarded
    def _on_lock(self, event: Any) -> None:
        if not self._own:
            (self.plan.lock if event.new else self.plan.unlock)(*self.selection)

    @guarded
    def _on_float(self, event: Any) -> None:
        if self._own:
            return
        free = self._free()
        if event.new:
            self.plan.draft(dict.fromkeys(free, None))
            return
        committed = {name: fmt for name in free if (fmt := self.plan.committed[name])}
        if committed:
            self.plan.draft(committed)
        else:
            self.plan.propose(names=free)

    @guarded
    def _step(self, by: int) -> None:
        names = self.plan.names
        if names:
            at = names.index(self.selection[0]) + by if self.selection else 0
            self.selection = (names[at % len(names)],)


def _one_window(fmt: Format) -> FixedPoint | None:
    """The format if it has one window, which can be moved; float has none, and a format per channel many."""
    return fmt if isinstance(fmt, FixedPoint) else None


def _read(text: str) -> FixedPoint:
    try:
        return FixedPoint.parse(text)
    except FormatError as error:
        raise FormatError(f"{error}; or write float") from None


def _button(description: str, icon: str, on_click: Any) -> ipywidgets.Button:
    button = ipywidgets.Button(
        description=description, tooltip=f"{description} tensor", icon=icon, layout=ipywidgets.Layout(width="100px")
    )
    button.on_click(on_click)
    return button
