"""The roundings of numbers side by side: what each makes of the same values, and how far it pulls them on average."""

from typing import Any

import ipywidgets
import numpy as np
import traitlets

from qwidgets.formats import FixedPoint
from qwidgets.teaching import RULES, TIES, as_values, mean_errors, rounding_table
from qwidgets.widgets.controls import NumberInput, guarded
from qwidgets.widgets.teaching.teaching_view import TeachingView, row

ARROWS = {1: "↑", -1: "↓", 0: "="}
MOST_ROWS = 40


class RoundingTable(TeachingView):
    """What the roundings make of values, by default of the ties next to zero.

    Parameters
    ----------
    values
        Text with numbers in it, numbers, an array or a tensor.
    fmt
        What is rounded to, by default whole numbers; its own rounding does not count.

    Attributes
    ----------
    format, values
        May be set.

    Examples
    --------
    >>> RoundingTable([2.5]).table().loc[2.5, ["half_away", "half_even"]].tolist()
    [3.0, 2.0]
    """

    values = traitlets.Any()

    _state = ("format", "values")

    def __init__(self, values: Any = TIES, fmt: FixedPoint = FixedPoint(8, 0)) -> None:  # noqa: B008
        super().__init__(fmt, values=values)

    def table(self) -> Any:
        """What is shown, as a DataFrame: see `qwidgets.teaching.ties.rounding_table`."""
        return rounding_table(self.values, self.format)

    @traitlets.validate("values")
    def _as_values(self, proposal: Any) -> Any:
        return as_values(proposal["value"])

    def _build(self) -> tuple[ipywidgets.Widget, ...]:
        self._values_box = NumberInput(self._on_numbers)
        self._table = ipywidgets.HTML()
        line = row(self._values_box.text, self._controls.notation, tight=True)
        return line, self._values_box.faults, self._table

    def _show(self) -> None:
        self._values_box.show(self.values)
        self._controls.show(self.format, max(8, self.format.msb), min(-12, self.format.lsb), enabled=True)
        self._table.value = self._static_page()

    def _describe(self) -> str:
        if not self.values.size:
            return "There is no value yet: type or paste some."
        split = int((np.ptp(self.table().to_numpy(), axis=1) > 0).sum())
        bias = mean_errors(self.values, self.format)
        least = ", ".join(str(name) for name in bias.index[bias.abs() == bias.abs().min()])
        step = f"{self.format.step:.7g}"
        return f"Steps of {step}: the roundings part on {split} of {self.values.size} values. Least bias: {least}."

    def _static_page(self) -> str:
        heads = "".join(f"<th scope='col' title='{rule}'>{name}</th>" for name, rule in RULES.items())
        lines = []
        for value, rounded in rounding_table(self.values[:MOST_ROWS], self.format).iterrows():
            cells = "".join(_cell(float(str(value)), float(end)) for end in rounded)
            lines.append(f"<tr><th scope='row'>{float(str(value)):.7g}</th>{cells}</tr>")
        bias = mean_errors(self.values, self.format)
        means = "".join(f"<td>{mean:+.3g}</td>" if np.isfinite(mean) else "<td>–</td>" for mean in bias)
        rules = "".join(f"<td class='qw-rule'>{rule}</td>" for rule in RULES.values())
        more = f"<p>{self.values.size - MOST_ROWS:,} more values</p>" if self.values.size > MOST_ROWS else ""
        return (
            f"<div class='qw-scroll'><table class='qw-side qw-roundings'><thead><tr><th scope='col'>value</th>{heads}"
            f"</tr></thead><tbody>{''.join(lines)}<tr><th scope='row'>mean error</th>{means}</tr>"
            f"<tr><th scope='row'>rule</th>{rules}</tr></tbody></table></div>{more}"
        )

    @guarded
    def _on_numbers(self, values: Any) -> None:
        self.values = values


def _cell(value: float, rounded: float) -> str:
    """Where a value went, with an arrow for the direction, so that the colour is not needed."""
    if np.isnan(rounded):
        return "<td>NaN</td>"
    direction = int(np.sign(rounded - value))
    look = {1: "qw-precision", -1: "qw-underflow", 0: ""}[direction]
    return f"<td><span class='qw-badge {look}'>{ARROWS[direction]} {rounded:.7g}</span></td>"
