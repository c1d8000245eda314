"""The bit explorer's tables as HTML: bits by column with their counts and the heat map, and what became of each value.

Pure functions from values and formats to text; whatever came from a person is escaped.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from qwidgets.formats import FixedPoint
from qwidgets.teaching import (
    MOST_PLACES,
    Columns,
    MsbCounts,
    Pasted,
    bits_of,
    goes_on_below,
    ideal_bits,
    msb_of,
    story_of,
    wide_code,
    word,
)
from qwidgets.widgets.controls.style import escaped

Floats = npt.NDArray[np.float64]

LABEL = 122
SIGN = 18
CELL = 24
MORE = 20
LEFT = LABEL + SIGN

BADGES = {
    "exact": ("", "="),
    "precision loss": ("qw-precision", "≈"),
    "underflow": ("qw-underflow", "↓"),
    "overflow": ("qw-overflow", "↑"),
    "not a number": ("qw-nan", "?"),
}
"""Each outcome has a colour, a sign and its name, so that none of them is needed."""


def width(columns: Columns) -> int:
    """How many pixels wide the table of bits is."""
    return LEFT + CELL * len(columns.positions) + MORE


def grid(
    values: Floats, rows: Sequence[tuple[int, int]], columns: Columns, fmt: FixedPoint | None, *, highlight: bool
) -> str:
    """The rows of bits.

    Parameters
    ----------
    values
        All values.
    rows
        Which of them have a row, and how many each stands for.
    columns
        The positions that have a column.
    fmt
        The format whose window is left uncovered; None covers nothing.
    highlight
        Whether the most significant bits are marked.
    """
    heads = "".join(f"<th scope='col'{_point(bit)}>{_power(bit)}</th>" for bit in columns.positions)
    body = "".join(_row(float(values[index]), count, columns, fmt, highlight) for index, count in rows)
    return (
        f"{_open(columns, 'Bits of each value')}<thead><tr><th scope='col' colspan='2'>value</th>{heads}"
        f"<th></th></tr></thead><tbody>{body}</tbody></table></div>"
    )


def counts(found: MsbCounts, columns: Columns) -> str:
    """The number of most significant bits in each column."""
    cells = "".join(
        f"<td{_point(bit)}>{_short(count)}</td>" for bit, count in zip(columns.positions, found.counts, strict=True)
    )
    return f"{_open(columns, '')}<tfoot><tr>{_label('MSBs counted')}{cells}<td></td></tr></tfoot></table></div>"


def heat_map(found: MsbCounts, columns: Columns, fmt: FixedPoint | None) -> str:
    """The same counts as one row of colours, gray over what the window leaves out."""
    cells = []
    for bit, count, shade in zip(columns.positions, found.counts, found.shades, strict=True):
        covered = fmt is not None and not fmt.lsb <= bit <= fmt.msb
        # Gray over blue over white, so that darker is more in every theme; a square root lets small counts show.
        layers = [f"linear-gradient(rgba(16,64,160,{shade**0.5:.2f}) 0 0)", "linear-gradient(#fff 0 0)"]
        layers[:0] = ["linear-gradient(rgba(128,128,128,.55) 0 0)"] if covered else []
        note = f"{count:,} with their MSB at 2^{bit}{', outside the window' if covered else ''}"
        style = f"background:{','.join(layers)};border:1px solid var(--qw-line)"
        cells.append(f"<td{_point(bit)} style='{style}' title='{note}'><span class='qw-unseen'>{count}</span></td>")
    return (
        f"{_open(columns, '')}<tfoot><tr>{_label('heat map')}{''.join(cells)}<td></td></tr></tfoot></table></div>"
        f"{_elsewhere(found)}"
    )


def outcome_table(table: pd.DataFrame, stands_for: Sequence[int]) -> str:
    """What became of each value, as `qwidgets.teaching.bits.bit_table` tells it."""
    several = any(count > 1 for count in stands_for)
    names = ("value", "ideal bits", "kept bits", "quantized", "error", "what happened")
    heads = "".join(f"<th scope='col'>{name}</th>" for name in names)
    lines = []
    for entry, count in zip(table.itertuples(), stands_for, strict=True):
        look, mark = BADGES[str(entry.outcome)]
        more = f" <small>× {count:,}</small>" if several else ""
        lines.append(
            f"<tr><th scope='row'>{_short_number(entry.value)}{more}</th><td class='qw-code'>{entry.ideal_bits}</td>"
            f"<td class='qw-code'>{entry.kept_bits}</td><td>{_short_number(entry.quantized)}</td>"
            f"<td>{_short_number(entry.error)}</td>"
            f"<td><span class='qw-badge {look}'>{mark} {entry.outcome}</span></td></tr>"
        )
    return (
        f"<div class='qw-scroll'><table class='qw-side'><thead><tr>{heads}</tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def story(value: float, fmt: FixedPoint) -> str:
    """What becomes of one value, step by step, with the bits that are dropped and those that are kept."""
    sentences = "".join(f"<li>{escaped(sentence)}</li>" for sentence in story_of(value, fmt))
    pattern = ""
    if np.isfinite(value):
        wide = wide_code(value, fmt)
        if len(wide.dropped) > MOST_PLACES:
            wide = wide._replace(dropped=f"… {len(wide.dropped)} bits …")
        if fmt.overflow == "saturate":
            wide = wide._replace(dropped="", kept=word(fmt.to_integer(value), fmt))
        dropped = f"<span class='qw-dropped'>{wide.dropped}</span>" if wide.dropped else ""
        pattern = f"<div class='qw-bits'>{dropped}<span class='qw-stored'>{wide.kept}</span></div>"
    return f"<ol>{sentences}</ol>{pattern}"


def marked(pasted: Pasted) -> str:
    """The pieces of a text that are no numbers, each in its place, and why."""
    if not pasted.faults:
        return ""
    pieces, end = [], 0
    for fault in pasted.faults[:20]:
        before = pasted.text[end : fault.start]
        pieces.append(escaped(before if len(before) < 40 else f"{before[:15]} … {before[-15:]}"))
        pieces.append(f"<mark title='{fault.reason}'>{escaped(pasted.text[fault.start : fault.stop][:60])}</mark>")
        end = fault.stop
    pieces.append(escaped(pasted.text[end : end + 20]))
    number_of = len(pasted.faults)
    first = pasted.faults[0]
    what = f"{escaped(pasted.text[first.start : first.stop][:40])} is {first.reason}"
    rest = f", and {number_of - 1} more" if number_of > 1 else ""
    return f"<div role='alert'>{what}{rest}; the others stay: <code>{''.join(pieces)}</code></div>"


def _open(columns: Columns, caption: str) -> str:
    cells = f"<col style='width:{CELL}px'>" * len(columns.positions)
    told = f"<caption class='qw-unseen'>{caption}</caption>" if caption else ""
    return (
        f"<div class='qw-scroll'><table class='qw-bits' style='width:{width(columns)}px'>{told}"
        f"<colgroup><col style='width:{LABEL}px'><col style='width:{SIGN}px'>{cells}"
        f"<col style='width:{MORE}px'></colgroup>"
    )


def _row(value: float, count: int, columns: Columns, fmt: FixedPoint | None, highlight: bool) -> str:
    text = f"{value:.3g} <small>× {count:,}</small>" if count > 1 and np.isfinite(value) else _short_number(value)
    label = f"<th scope='row' title='{value!r}'>{text}</th>"
    if not np.isfinite(value):
        told = "no bits stand for it" if np.isnan(value) else "larger than every bit"
        return f"<tr>{label}<td></td><td colspan='{len(columns.positions) + 1}' class='qw-quiet'>{told}</td></tr>"
    digits = bits_of(value, columns.top, columns.bottom)
    msb = msb_of(value)
    cells = []
    for bit, digit in zip(columns.positions, digits, strict=True):
        looks = ["qw-one"] if digit == "1" else []
        looks += ["qw-msb"] if highlight and bit == msb else []
        looks += ["qw-out"] if fmt is not None and not fmt.lsb <= bit <= fmt.msb else []
        looks += ["qw-point"] if bit == -1 else []
        # Zeros before the leading one and behind the last one are not part of the number.
        empty = digit == "0" and ((msb is None and bit != 0) or (msb is not None and bit > max(msb, 0)))
        empty = empty or (digit == "0" and bit < 0 and not goes_on_below(value, bit))
        cells.append(f"<td class='{' '.join(looks)}'>{'' if empty else digit}</td>")
    beyond = "…" if goes_on_below(value, columns.bottom) else ""
    if msb is not None and msb > columns.top:
        cells[0] = "<td class='qw-quiet' title='its leading bits are further left'>…</td>"
    return f"<tr>{label}<td>{'-' if value < 0 else ''}</td>{''.join(cells)}<td class='qw-quiet'>{beyond}</td></tr>"


def _label(text: str) -> str:
    return f"<th scope='row' colspan='2'>{text}</th>"


def _point(bit: int) -> str:
    return " class='qw-point'" if bit == -1 else ""


def _power(bit: int) -> str:
    power = f"2<sup>{bit}</sup>"
    return f"<small>{power}</small>" if len(str(bit)) > 2 else power


def _short(count: int) -> str:
    """A count in three characters; an empty column stays empty."""
    if count >= 1000:
        return f"<small title='{count:,}'>{count / 1000:.0f}k</small>" if count < 999_500 else "<small>1M</small>"
    return str(count) if count else "<span class='qw-unseen'>0</span>"


def _short_number(value: object) -> str:
    assert isinstance(value, float)
    text = f"{value:.7g}" if np.isfinite(value) else ideal_bits(value)
    return text if len(text) <= 12 else f"{value:.4g}"


def _elsewhere(found: MsbCounts) -> str:
    parts = [
        f"{count:,} {words}"
        for count, words in (
            (found.above, "above the columns"),
            (found.below, "below the columns"),
            (found.without, "zero, infinite or not a number, without an MSB"),
        )
        if count
    ]
    return f"<div class='qw-quiet'>{' · '.join(parts)}</div>" if parts else ""
