"""The window editor: the bits of the selected tensor, its window under a brush, and what moving it would cost."""

import time
from typing import Any

import ipywidgets

from qwidgets.errors import FormatError, QwidgetsError
from qwidgets.formats import ACCUMULATOR, AccumulatorFormat, FixedPoint, PerChannel
from qwidgets.tuning import has_accumulator
from qwidgets.widgets.controls import (
    BitBars,
    Move,
    PlanView,
    Silence,
    WindowControls,
    bar,
    button,
    checkbox,
    drawing,
    escaped,
    guarded,
    with_edges,
)
from qwidgets.widgets.workbench import channel_words, preview_words
from qwidgets.widgets.workbench.channel_map import ChannelMap
from qwidgets.widgets.workbench.edit_target import EditTarget

ABOUT_ACCUMULATOR = (
    "<p><b>accumulator</b>: 32 bits at the step of the sums that the bias is added to, which is the input's step times "
    "the weight's. It has no window of its own to move, and follows when theirs move. Without the tick it gets a word "
    "length and a window of its own.</p>"
)

ABOUT_OWN_BIAS = (
    "<p class='qw-quiet'>A bias with a window of its own is rounded to it, and then aligned to the sums that it is "
    "added to; as <b>accumulator</b> it has their step, and hardware adds it as it is.</p>"
)

GESTURE_SECONDS = 1.0
"""Moves that follow each other faster than this are one step for undo."""


class WindowEditor(PlanView):
    """Moves the windows of the selected tensors, and tells at once what that would do to their values.

    With several tensors selected the first is drawn, and what is done to its window is done to all that are not locked
    or in float: each moves from where it stands. So do the channels of a weight that has a window for each, all of them
    or those that are chosen.

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
        self._silence = Silence()
        self._title = ipywidgets.HTML()
        self._title.layout.flex = "1 1 200px"
        self._previous = button("", lambda _: self._step(-1), "Previous tensor", icon="arrow-left")
        self._next = button("", lambda _: self._step(1), "Next tensor", icon="arrow-right")
        self._lock = checkbox("locked", self._on_lock)
        self._float = checkbox("keep float", self._on_float)
        self._accumulator = checkbox(
            "accumulator", self._on_accumulator, "Give the bias 32 bits at the step of the sums that it is added to"
        )
        self._bars = BitBars(self._on_brush)
        self._controls = WindowControls(self._on_move, self._on_choose, self._on_write)
        self._channels = ChannelMap(self.plan)
        self._channels.observe(self._on_channels, "channels")
        self._channels.observe(self._on_channel_problem, "problem")
        self._figures = ipywidgets.HTML()
        self._empty = ipywidgets.HTML(
            "<span class='qw-quiet'>Select a tensor to see its bits and move its window.</span>"
        )
        self._controls.slider.layout.margin = self._bars.rail
        left = ipywidgets.VBox([self._bars.widget, self._controls.slider])
        right = ipywidgets.VBox([self._controls.boxes, self._controls.choices, self._controls.notation])
        beside = ipywidgets.HBox([self._figures, right])
        beside.add_class("qw-beside")
        self._beside = ipywidgets.VBox([beside])
        parts = (
            (left, "1.4 1 266px", "200px"),
            (self._figures, "0.5 0 312px", "max-content"),
            (right, "1 0 264px", "0"),
            (self._beside, "1.6 0 592px", "0"),
        )
        for column, flex, least in parts:
            column.layout.flex, column.layout.min_width = flex, least
        self._head = bar(self._title, self._previous, self._next, self._accumulator, self._float, self._lock)
        columns = ipywidgets.HBox([left, self._beside])
        columns.add_class("qw-columns")
        self._panel = ipywidgets.VBox([self._head, columns, self._channels])
        self._place = ipywidgets.VBox([self._empty])
        return (self._place,)

    def _show(self, changed: frozenset[str]) -> None:
        if changed & set(self.selection):
            self._show_selection()

    @property
    def _edited(self) -> EditTarget:
        """What the controls work on; there must be a selection."""
        return EditTarget(self.plan, self.selection, self._channels.channels if len(self.selection) == 1 else ())

    def _show_selection(self) -> None:
        # A figure that is first shown hidden stays blank, so the panel enters the page when it has something to show.
        content = (self._panel,) if self.selection else (self._empty,)
        if self._place.children != content:
            self._place.children = content
        self._channels.selection = self.selection
        if self.selection:
            self._show_edited()

    def _show_edited(self) -> None:
        name, edited = self.selection[0], self._edited
        fmt, free = edited.window, edited.free
        self._show_title(name)
        if self.plan.calibration is not None:
            bits = edited.bits("positive"), edited.bits("negative")
            self._bars.show(f"{name} {edited.channels}", *bits, fmt, edited.committed_window)
        self._controls.show(fmt, self._bars.top, self._bars.bottom, enabled=bool(free))
        now = self.plan[name]
        if isinstance(now, AccumulatorFormat) or (isinstance(now, PerChannel) and len(edited.channels) != 1):
            self._controls.name(str(now))
        biases = self._biases()
        with self._silence:
            self._lock.value = set(self.selection) <= self.plan.locked
            self._float.value = all(self.plan[name] is None for name in self.selection)
            self._float.disabled = not free
            self._accumulator.layout.display = None if biases else "none"
            self._accumulator.value = bool(biases) and all(self.plan[name] == ACCUMULATOR for name in biases)
            self._accumulator.disabled = not any(name in free for name in biases)
        self._show_figures()

    def _show_title(self, name: str) -> None:
        row = self.plan.row(name)
        about = " + ".join(row.fused) if len(row.fused) > 1 else row.operation
        others = len(self.selection) - 1
        more = f" <b>and {others} more</b>: each moves from where it stands" if others else ""
        locked = len(self.selection) - len(self._edited.free)
        if others and locked:
            more += f"; {locked} locked, left alone"
        if channels := self._edited.channels:
            count = self.plan.row(name).shape[0] or 0
            more = f" <b>channel{'s' if len(channels) > 1 else ''} {channel_words.channels_text(channels, count)}</b>"
            if isinstance(self.plan[name], FixedPoint):
                more += " under the window of all"
        self._title.value = (
            f"<b class='qw-name'>{escaped(name)}</b>{more} "
            f"<span class='qw-quiet'>{escaped(row.kind)} · {escaped(about)}</span>"
        )

    def _show_figures(self) -> None:
        if self.plan.calibration is None:
            self._figures.value = "<span class='qw-quiet'>Without a calibration there is nothing to preview.</span>"
            return
        edited = self._edited
        drafts, committed = edited.previews(), edited.committed_previews()
        name = self.selection[0]
        told = preview_words.figures(
            preview_words.together(drafts),
            preview_words.together(committed),
            several=max(len(self.selection), len(edited.channels)) > 1,
            is_draft=any(name in self.plan.drafts for name in self.selection),
            without=(str(self.plan[name] or "float"), str(self.plan.committed[name] or "float")),
        )
        if self.plan[name] == ACCUMULATOR:
            told = ABOUT_ACCUMULATOR + (told if committed else "")
        elif self._biases():
            told += ABOUT_OWN_BIAS
        self._figures.value = told

    def _biases(self) -> list[str]:
        """The selected tensors that can have the format of their layer's accumulator."""
        return [name for name in self.selection if has_accumulator(self.plan.row(name))]

    def _move(self, move: Move, *, continues: bool) -> None:
        """Do to all that is edited what a move does to the window that is drawn."""
        old = self._edited.window if self.selection else None
        if old is None:
            return
        try:
            (self.plan.redraft if continues else self.plan.draft)(self._edited.moved(old, move(old)))
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
        self._move_on(lambda fmt: with_edges(fmt, msb, lsb, hold_length=hold))
        self._show_selection()  # the brush snaps to whole bits

    @guarded
    def _on_choose(self, move: Move) -> None:
        self._move(move, continues=False)

    @guarded
    def _on_write(self, text: str) -> None:
        edited, word = self._edited, text.strip().casefold()
        if word in ("float", ACCUMULATOR.window):
            self.plan.draft(dict.fromkeys(edited.free, None if word == "float" else ACCUMULATOR))
        else:
            self.plan.draft(edited.written(_read(text)))

    @guarded
    def _on_lock(self, event: Any) -> None:
        if not self._silence:
            (self.plan.lock if event.new else self.plan.unlock)(*self.selection)

    @guarded
    def _on_float(self, event: Any) -> None:
        if self._silence:
            return
        free = self._edited.free
        if event.new:
            self.plan.draft(dict.fromkeys(free, None))
        else:
            self._give_formats(free)

    @guarded
    def _on_accumulator(self, event: Any) -> None:
        if self._silence:
            return
        free = [name for name in self._biases() if name not in self.plan.locked]
        if event.new:
            self.plan.draft(dict.fromkeys(free, ACCUMULATOR))
        else:
            self._give_formats(free)

    def _give_formats(self, names: list[str]) -> None:
        """Draft what is committed, where that is another format than now; for what is left, a proposal."""
        committed = {name: self.plan.committed[name] for name in names}
        back = {name: fmt for name, fmt in committed.items() if fmt and fmt != self.plan[name]}
        if back:
            self.plan.draft(back)
        else:
            self.plan.propose(names=names)

    @drawing
    def _on_channels(self, _: Any) -> None:
        if self.selection and self.is_open:
            self._show_edited()

    @drawing
    def _on_channel_problem(self, event: Any) -> None:
        self.set_trait("problem", event.new)  # which the map itself shows

    @guarded
    def _step(self, by: int) -> None:
        names = self.plan.names
        if names:
            at = names.index(self.selection[0]) + by if self.selection else 0
            self.selection = (names[at % len(names)],)


def _read(text: str) -> FixedPoint:
    try:
        return FixedPoint.parse(text)
    except FormatError as error:
        raise FormatError(f"{error}; or write float, or for a bias accumulator") from None
