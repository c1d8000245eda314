"""The bit explorer: numbers as rows of bits, their leading ones counted by column, and the window that a format keeps.

What it shows is computed by `qwidgets.teaching`; here it is put on the screen, and the person's wishes are taken in.
"""

from typing import Any

import ipywidgets
import traitlets

from qwidgets.formats import FixedPoint
from qwidgets.histograms import BitHistogram
from qwidgets.schemes import SCHEMES
from qwidgets.teaching import (
    PRESETS,
    STEPS,
    Columns,
    MsbCounts,
    Proposal,
    as_values,
    bit_table,
    count_outcomes,
    examples,
    propose,
)
from qwidgets.widgets.controls import (
    CELL,
    LEFT,
    WIDGET_MARGIN,
    NumberInput,
    counts_html,
    escaped,
    grid_html,
    guarded,
    heard_whole,
    heat_map_html,
    outcome_table,
    story_html,
    with_edges,
)
from qwidgets.widgets.teaching.column_bars import ColumnBars
from qwidgets.widgets.teaching.teaching_view import TeachingView, in_words, row

LAST_STEP = len(STEPS)


class BitExplorer(TeachingView):
    """Numbers, bit by bit, and what a format makes of them.

    Parameters
    ----------
    values
        Text with numbers in it, numbers, an array or a tensor, up to a million; by default the worked example.
    fmt
        The format to begin with.
    step
        Which of the five steps is shown: 1 bits, 2 most significant bits, 3 their sum, 4 the heat map, 5 the data type.

    Attributes
    ----------
    values
        The numbers as an array; may be set to anything that the parameter can be.
    format, step
        May be set; ``step`` is 1 to 5.

    Examples
    --------
    >>> explorer = BitExplorer([0.03125, 2.1, 16.25], FixedPoint.from_window(3, -3))
    >>> explorer.table()["quantized"].tolist()
    [0.0, 2.125, 15.875]
    >>> explorer.description
    'Window 2^3 … 2^-3, signed, 8 bits. Of 3 values: 1 precision loss, 1 underflow, 1 overflow.'
    """

    values = traitlets.Any()
    step = traitlets.Int(LAST_STEP, min=1, max=LAST_STEP)

    _state = ("format", "values", "step")
    _reason: Proposal | None

    def __init__(
        self,
        values: Any = PRESETS["worked example"].values,
        fmt: FixedPoint = PRESETS["worked example"].format,
        step: int = LAST_STEP,
    ) -> None:
        super().__init__(fmt, values=values, step=step)

    def table(self) -> Any:
        """What becomes of each value, as a DataFrame: see `qwidgets.teaching.bits.bit_table`."""
        return bit_table(self.values, self.format)

    def propose(self, scheme: str, word_length: int | None = None) -> str:
        """Take the window that a rule chooses, and give its reason in a sentence.

        Raises
        ------
        PlanError
            There is no such rule.
        """
        proposal = propose(scheme, BitHistogram().update(self.values), word_length or self.format.word_length)
        self._reason = proposal
        self.format = proposal.format
        self._redraw()  # the reason is new even where the window is not
        return proposal.reason

    @traitlets.validate("values")
    def _as_values(self, proposal: Any) -> Any:
        return as_values(proposal["value"])

    def _build(self) -> tuple[ipywidgets.Widget, ...]:
        self._columns: Columns | None = None
        self._reason = None
        self._build_inputs()
        self._grid, self._counts, self._heat, self._side, self._story, self._why = (ipywidgets.HTML() for _ in range(6))
        self._bars = ColumnBars(self._on_brush)
        self._look = heard_whole(ipywidgets.Dropdown)(options=[("–", 0)], description="look closely at")
        self._look.style.description_width = "96px"
        self._look.layout.width = "240px"
        self._look.observe(self._on_look, "value")
        self._left = ipywidgets.VBox([self._grid])
        self._right = ipywidgets.VBox([self._side, self._look, self._story])
        self._window = ipywidgets.VBox(
            [
                row(self._controls.boxes, self._proposing, tight=True),
                row(self._controls.choices, self._controls.notation),
            ]
        )
        for column in (self._left, self._right):
            column.layout.min_width, column.layout.max_width = "0", "100%"
        return (
            row(self._numbers.text, self._preset, tight=True),
            self._numbers.faults,
            row(self._back, self._steps, self._next, tight=True),
            row(self._left, self._right),
            self._window,
            self._why,
        )

    def _build_inputs(self) -> None:
        self._numbers = NumberInput(self._on_numbers, height=44)
        self._preset = heard_whole(ipywidgets.Dropdown)(
            options=["examples …", *PRESETS], tooltip="Numbers that show something"
        )
        self._preset.layout.width = "170px"
        self._preset.observe(self._on_preset, "value")
        self._steps = heard_whole(ipywidgets.ToggleButtons)(
            options=[(f"{number} {step.title}", number) for number, step in enumerate(STEPS, 1)],
            tooltips=[step.sentence for step in STEPS],
        )
        self._steps.observe(self._on_step, "value")
        self._back = _button("Back", "arrow-left", lambda _: self._go(-1))
        self._next = _button("Next", "arrow-right", lambda _: self._go(1))
        self._scheme = heard_whole(ipywidgets.Dropdown)(
            options=list(SCHEMES), description="rule", tooltip="Chooses a window"
        )
        self._scheme.style.description_width = "32px"
        self._scheme.layout.width = "140px"
        self._scheme.observe(self._on_propose, "value")
        propose = _button("Propose", "magic", self._on_propose)
        self._proposing = row(self._scheme, propose)

    def _show(self) -> None:
        self._show_inputs()
        rows = examples(self.values)
        shown = self.values[[index for index, _ in rows]]
        window = self.format if self.step == LAST_STEP else None
        self._columns = columns = Columns.covering(self.values, self.format, self._columns)
        found = MsbCounts.of(self.values, columns)
        self._grid.value = grid_html(self.values, rows, columns, window, highlight=self.step >= 2)
        self._counts.value = counts_html(found, columns)
        self._heat.value = heat_map_html(found, columns, window)
        self._show_columns(columns, window)
        self._show_parts()
        if window:
            self._side.value = outcome_table(bit_table(shown, window), [count for _, count in rows])
            self._show_choices(rows)
            reason = self._reason
            self._why.value = escaped(reason.reason) if reason and reason.format == window else ""

    def _show_columns(self, columns: Columns, window: FixedPoint | None) -> None:
        histogram = BitHistogram().update(self.values)
        signs = (histogram.msb_counts("positive"), histogram.msb_counts("negative"))
        # What has no column is told of in words; the bars would count it in the last one.
        positive, negative = (counts[counts.index.isin(columns.positions)] for counts in signs)
        self._bars.columns = columns
        self._bars.show("", positive, negative, window, window)
        self._controls.show(self.format, columns.top, columns.bottom, enabled=True)
        self._controls.slider.layout.margin = f"0 0 0 {LEFT + WIDGET_MARGIN}px"
        self._controls.slider.layout.width = f"{len(columns.positions) * CELL}px"

    def _show_parts(self) -> None:
        """Put on the screen what belongs to the step; a figure that is made while hidden would stay blank."""
        left = [self._grid, *[self._counts, self._bars.widget][: 2 * (self.step >= 3)], *[self._heat][: self.step >= 4]]
        left += [self._controls.slider][: self.step >= LAST_STEP]
        right = [self._side, self._look, self._story] if self.step == LAST_STEP else []
        for box, parts in ((self._left, left), (self._right, right)):
            if list(box.children) != parts:
                box.children = parts
        self._window.layout.display = None if self.step == LAST_STEP else "none"

    def _show_inputs(self) -> None:
        self._steps.value = self.step
        self._back.disabled, self._next.disabled = self.step == 1, self.step == LAST_STEP
        self._numbers.show(self.values)

    def _show_choices(self, rows: list[tuple[int, int]]) -> None:
        options = [(f"{self.values[index]:.7g}", place) for place, (index, _) in enumerate(rows)] or [("–", 0)]
        if list(self._look.options) != options:
            chosen = self._look.value or 0
            self._look.options = options
            self._look.value = min(chosen, len(options) - 1)
        self._show_story()

    def _show_story(self) -> None:
        rows = examples(self.values)
        if rows:
            index, _ = rows[min(self._look.value or 0, len(rows) - 1)]
            self._story.value = story_html(float(self.values[index]), self.format)
        else:
            self._story.value = ""

    def _describe(self) -> str:
        count = self.values.size
        if not count:
            return "There is no number yet: type or paste some, or choose an example."
        if self.step < LAST_STEP:
            step = STEPS[self.step - 1]
            return f"Step {self.step} of {LAST_STEP}: {step.title}. {step.sentence}"
        found = count_outcomes(self.values, self.format)
        told = ", ".join(f"{number:,} {name}" for name, number in found.items())
        return f"{in_words(self.format)}. Of {count:,} value{'s' if count > 1 else ''}: {told}."

    def _static_page(self) -> str:
        rows = examples(self.values)
        shown = self.values[[index for index, _ in rows]]
        return f"<p>{self._describe()}</p>{bit_table(shown, self.format).to_html(index=False)}"

    @guarded
    def _on_numbers(self, values: Any) -> None:
        self.values = values

    @guarded
    def _on_preset(self, event: Any) -> None:
        preset = PRESETS.get(event.new)
        if preset:
            self.values, self.format = preset.values, preset.format

    @guarded
    def _on_step(self, event: Any) -> None:
        self.step = event.new

    @guarded
    def _go(self, by: int) -> None:
        self.step = min(max(self.step + by, 1), LAST_STEP)

    @guarded
    def _on_propose(self, _: Any) -> None:
        self.propose(self._scheme.value)

    @guarded
    def _on_brush(self, msb: int, lsb: int) -> None:
        self.format = with_edges(self.format, msb, lsb, hold_length=self._controls.hold_length)
        self._redraw()

    @guarded
    def _on_look(self, _: Any) -> None:
        self._show_story()


def _button(description: str, icon: str, on_click: Any) -> ipywidgets.Button:
    button = ipywidgets.Button(description=description, icon=icon, layout=ipywidgets.Layout(width="92px"))
    button.on_click(on_click)
    return button
