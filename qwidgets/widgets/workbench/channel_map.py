"""The channels of one weight: where the values of each lie, what its window cannot represent, and which are chosen.

Here a weight is given a window for each output channel, or one for all. Windows are moved elsewhere: whoever does that
reads :attr:`ChannelMap.channels`.
"""

from collections.abc import Iterable
from typing import Any

import bqplot
import ipywidgets
import numpy as np
import traitlets

from qwidgets import schemes
from qwidgets.formats import FixedPoint, PerChannel
from qwidgets.pictures import BitRange, Window, levels, paint_row, stacked, superscript, to_png, window_of
from qwidgets.plan import Plan
from qwidgets.tuning import Format, NumberFormat, channel_msb_counts, leave_as_before, why_not_per_channel
from qwidgets.widgets.controls import (
    ACCENT,
    PlanView,
    Silence,
    bar,
    button,
    checkbox,
    close_tree,
    escaped,
    guarded,
    label_ticks,
    labelled_axis,
    number_box,
    outline_around,
    quiet,
    sized,
    text_box,
)
from qwidgets.widgets.workbench import channel_words

MARGIN = {"top": 22, "bottom": 4, "left": 46, "right": 16}
TALLEST = 216
ROW_HEIGHTS = (4, 18)
NUMBER_HEIGHT = 13
WIDEST_BIT = 34
TICK_SPACING = 2


class ChannelMap(PlanView):
    """The output channels of the selected weight as rows, powers of two as columns; a click chooses a channel.

    Darker blue is more values, gray lies over the bits that the channel's window cannot represent, and under a draft
    the edges of the committed window stay visible.

    Parameters
    ----------
    plan
        What is shown.
    selection
        The name of a weight; of several tensors none is drawn.

    Attributes
    ----------
    channels
        The channels that are chosen; may be set. Empty for the tensor as a whole.
    """

    channels = traitlets.Tuple()

    def __init__(self, plan: Plan, selection: Iterable[str] = ()) -> None:
        self._drawn: tuple[str, object] | None = None
        self._silence = Silence()
        super().__init__(plan, selection)

    def _build(self) -> tuple[ipywidgets.Widget, ...]:
        self._about = ipywidgets.HTML()
        self._split = button("One window a channel", self._on_split, "Draft the least squares window of every channel")
        self._join = button("One window for all", self._on_join, "Draft one least squares window for all channels")
        self._look = checkbox("show channels", self._on_look)
        self._number = number_box(
            "channel",
            0,
            0,
            self._on_number,
            width=130,
            tooltip="Chooses one channel; the arrow keys go through them",
        )
        self._written = text_box(
            "channels",
            self._on_written,
            layout=sized("190px"),
            continuous_update=False,
            placeholder="3, 0-7, all",
            tooltip="Chooses several",
        )
        self._all = button("All", self._on_all, "Choose all channels: what moves one window moves them all")
        self._worst = button("Worst", self._on_worst, "Choose the channel with the lowest SQNR")
        self._readout = quiet()
        self._head = bar(self._about, self._split, self._join, self._look)
        self._short_head = bar(self._about, self._split, self._join)
        self._chooser = bar(self._number, self._written, self._all, self._worst)
        self._frame = self._build_figure()
        self._place = ipywidgets.VBox()
        return (self._place,)

    def _build_figure(self) -> ipywidgets.Box:
        self._x, self._y = bqplot.LinearScale(min=0, max=1), bqplot.LinearScale(min=0, max=1)
        scales = {"x": self._x, "y": self._y}
        self._image = bqplot.Image(image=ipywidgets.Image(value=b"", format="png"), scales=scales, x=[0, 1], y=[0, 1])
        self._image.on_element_click(self._on_click)
        self._marks = bqplot.Lines(
            x=[], y=[], scales=scales, colors=[ACCENT], stroke_width=2, preserve_domain={"x": True, "y": True}
        )
        self._bit_axis, self._channel_axis = labelled_axis(self._x, "top"), labelled_axis(self._y, "left")
        self._figure = bqplot.Figure(
            marks=[self._image, self._marks],
            axes=[self._bit_axis, self._channel_axis],
            fig_margin=MARGIN,
            padding_y=0.0,
            animation_duration=0,
            display_toolbar=False,
            layout=ipywidgets.Layout(width="100%", min_width="0"),
        )
        frame = ipywidgets.Box([self._figure], layout=ipywidgets.Layout(max_height="264px", overflow="hidden auto"))
        frame.add_class("qw-heat")
        return frame

    @property
    def drawn(self) -> bool:
        """Whether the channels of a weight are on the screen, so that some can be chosen."""
        return self._drawn is not None

    def _show(self, changed: frozenset[str]) -> None:
        if changed & set(self.selection):
            self._show_selection()

    def _show_selection(self) -> None:
        able = [name for name in self.selection if not why_not_per_channel(self.plan.row(name))]
        formats = [self.plan[name] for name in able if name not in self.plan.locked]
        self._split.disabled = not any(isinstance(fmt, FixedPoint) for fmt in formats) or self.plan.calibration is None
        self._join.disabled = not any(isinstance(fmt, PerChannel) for fmt in formats) or self.plan.calibration is None
        if len(self.selection) != 1 or not able or not self._is_known(able[0]):
            self._drawn = None
            self.channels = ()
            self._about.value = f"<span class='qw-quiet'>{len(able)} of these can have a window a channel</span>"
            self._put(*([self._short_head] if able and self.plan.calibration else []))
            return
        name, fmt = able[0], self.plan[able[0]]
        count = self._count_of(name)
        own = isinstance(fmt, PerChannel)
        self._about.value = f"<b>{count} channels</b> <span class='qw-quiet'>{_about(fmt)}</span>"
        self._look.layout.display = "none" if own else None  # then they are always shown
        if fmt is None or not (own or self._look.value):
            self._drawn = None
            self.channels = ()
            self._put(self._head)
            return
        self._draw_channels(name, fmt)
        # A figure that is first shown hidden stays blank, so it enters the page when it has something to show.
        self._put(self._head, self._chooser, self._frame, self._readout)
        self._show_chosen()

    def _put(self, *content: ipywidgets.Widget) -> None:
        if self._place.children != content:
            self._place.children = content

    def _is_known(self, name: str) -> bool:
        return self.plan.calibration is not None and name in self.plan.calibration.parameters

    def _count_of(self, name: str) -> int:
        count = self.plan.row(name).shape[0]
        assert count is not None
        return count

    def _draw_channels(self, name: str, fmt: NumberFormat) -> None:
        assert self.plan.calibration is not None
        values, count = self.plan.calibration.values(name), self._count_of(name)
        if self._drawn != (name, id(values)):
            if self._drawn is None or self._drawn[0] != name:
                self.channels = ()
            self._counts = channel_msb_counts(values)
            self._bits: BitRange | None = None
            self._height = int(np.clip(TALLEST / count, *ROW_HEIGHTS))
            self._drawn = name, id(values)
        windows, committed = (_windows(each, count) for each in (fmt, self.plan.committed[name]))
        needed = BitRange.over([self._counts.sum()], [*windows, *committed])
        if self._bits is None or needed.top > self._bits.top or needed.bottom < self._bits.bottom:
            self._bits = needed
            self._fit(count)
        for channel, window in enumerate(zip(windows, committed, strict=True)):
            if self._painted.get(channel) != window:
                self._painted[channel] = window
                level = self._levels[channel]
                self._rows[channel] = paint_row(level, self._bits, *window, self._height)
        old = self._image.image
        picture = to_png(stacked(self._rows))
        self._image.image = ipywidgets.Image(value=picture, format="png")
        close_tree(old)

    def _fit(self, count: int) -> None:
        """Make room for other bits or other channels."""
        assert self._bits is not None
        bits = self._bits
        self._painted: dict[int, tuple[Window, Window]] = {}
        self._rows = [np.zeros((0, 0), np.uint8)] * count
        self._levels = [levels(bits.counts(row)) for _, row in self._counts.iterrows()]
        width = len(bits)
        self._x.max, self._y.max = width, count
        with self._image.hold_sync():
            self._image.x, self._image.y = [0, width], [0, count]
        self._figure.layout.max_width = f"{width * WIDEST_BIT + MARGIN['left'] + MARGIN['right']}px"
        self._figure.layout.height = f"{count * self._height + MARGIN['top'] + MARGIN['bottom']}px"
        spacing = TICK_SPACING if width <= 24 else 2 * TICK_SPACING
        ticks = [bit for bit in range(bits.top, bits.bottom - 1, -1) if bit % spacing == 0]
        label_ticks(self._bit_axis, {bits.column(bit) + 0.5: superscript(f"2^{bit}") for bit in ticks})
        every = -(-NUMBER_HEIGHT // self._height)
        label_ticks(self._channel_axis, {count - row - 0.5: str(row) for row in range(0, count, every)})

    def _show_chosen(self) -> None:
        if self._drawn is None or self._bits is None:
            return
        name = self._drawn[0]
        count = self._count_of(name)
        chosen = self.channels
        with self._marks.hold_sync():
            self._marks.x, self._marks.y = outline_around(chosen, count, len(self._bits))
        with self._silence:
            self._number.max = count - 1
            if len(chosen) == 1:
                self._number.value = chosen[0]
            self._written.value = channel_words.channels_text(chosen or range(count), count)
        if len(chosen) != 1:
            more = f"{len(chosen)} channels are chosen." if chosen else "All channels are chosen."
            self._readout.value = f"{more} Click one, or write its number, to choose it alone."
        else:
            fmt = self.plan[name]
            window = fmt[chosen[0]] if isinstance(fmt, PerChannel) else fmt
            self._readout.value = f"Channel {chosen[0]}: window {escaped(window)}."

    @traitlets.validate("channels")
    def _known_channels(self, proposal: Any) -> tuple[int, ...]:
        """The channels in order; of all, none, which stands for the tensor as a whole."""
        if self._drawn is None:
            return ()
        count = self._count_of(self._drawn[0])
        chosen = tuple(sorted({int(channel) for channel in proposal["value"]}))
        channel_words.check(chosen, count)
        return () if len(chosen) == count else chosen

    @traitlets.observe("channels")
    def _on_channels(self, _: Any) -> None:
        self._show_chosen()

    # What the person does

    @guarded
    def _on_click(self, _: Any, event: dict[str, Any]) -> None:
        if self._drawn is None or self._bits is None:
            return
        count = self._count_of(self._drawn[0])
        channel = int(np.clip(count - event["data"]["click_y"], 0, count - 1))
        column = int(np.clip(event["data"]["click_x"], 0, len(self._bits) - 1))
        self.channels = (channel,)
        counts = self._bits.counts(self._counts.iloc[channel])
        place = superscript(f"2^{self._bits.top - column}")
        self._readout.value += f" At {place}: {counts[column]:,} of {counts.sum():,} nonzero values."

    @guarded
    def _on_number(self, event: Any) -> None:
        if not self._silence:
            self.channels = (event.new,)

    @guarded
    def _on_written(self, event: Any) -> None:
        if self._silence or self._drawn is None:
            return
        try:
            self.channels = channel_words.read(event.new, self._count_of(self._drawn[0]))
        finally:
            self._show_chosen()

    @guarded
    def _on_all(self, _: Any) -> None:
        self.channels = ()

    @guarded
    def _on_worst(self, _: Any) -> None:
        if self._drawn is not None:
            sqnr_db = self.plan.channels(self._drawn[0])["sqnr_db"].fillna(np.inf)
            self.channels = (int(np.argmin(sqnr_db)),)

    @guarded
    def _on_look(self, _: Any) -> None:
        self._show_selection()

    @guarded
    def _on_split(self, _: Any) -> None:
        self._choose_anew(FixedPoint, per_channel=True)

    @guarded
    def _on_join(self, _: Any) -> None:
        self._choose_anew(PerChannel, per_channel=False)

    def _choose_anew(self, kind: type[FixedPoint] | type[PerChannel], *, per_channel: bool) -> None:
        """Draft windows for the selected weights that have formats of this kind."""
        assert self.plan.calibration is not None
        found: dict[str, Format] = {}
        for name in self.selection:
            row, fmt = self.plan.row(name), self.plan[name]
            free = name not in self.plan.locked and not why_not_per_channel(row)
            if free and isinstance(fmt, kind):
                found[name] = schemes.anew(self.plan.calibration, row, fmt, per_channel)
        before = {name: self.plan[name] for name in self.plan}
        self.plan.draft(leave_as_before(self.plan.calibration, before, found))


def _windows(fmt: Format, count: int) -> list[Window]:
    if not isinstance(fmt, PerChannel):
        return [window_of(fmt)] * count
    top = fmt.word_length - fmt.signed - 1  # a FixedPoint for each of a thousand channels would take too long
    return [(top - length, -length) for length in fmt.fraction_lengths]


def _about(fmt: Format) -> str:
    if fmt is None:
        return "in float, without a window"
    if isinstance(fmt, PerChannel):
        return "each with a window of its own; word length, sign, rounding and overflow are those of all"
    return "under one window"
