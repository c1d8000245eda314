"""A preview in words and figures: the draft beside what is committed, and how they differ.

Pure functions from previews to text. A count that is only bounded is called one ("at most"), and what is estimated from
the histogram wears a tilde.
"""

import math
from collections.abc import Callable, Sequence

from qwidgets.histograms import Preview
from qwidgets.widgets.controls import escaped, number_text, percent_text


def together(previews: Sequence[Preview]) -> Preview | None:
    """Several tensors as one: counts added, the lowest SQNR, the largest error; None where there is none.

    Examples
    --------
    >>> together([Preview(8, 1, 0, 0.1, 20.0, 0.5, True), Preview(4, 1, 2, 0.1, 10.0, 0.2, True)])
    Preview(count=12, underflow=2, overflow=2, mse=nan, sqnr_db=10.0, max_error=0.5, exact=True)
    """
    if len(previews) < 2:
        return previews[0] if previews else None
    return Preview(
        count=sum(preview.count for preview in previews),
        underflow=sum(preview.underflow for preview in previews),
        overflow=sum(preview.overflow for preview in previews),
        mse=math.nan,
        sqnr_db=min((preview.sqnr_db for preview in previews if not math.isnan(preview.sqnr_db)), default=math.nan),
        max_error=max(
            (preview.max_error for preview in previews if not math.isnan(preview.max_error)), default=math.nan
        ),
        exact=all(preview.exact for preview in previews),
    )


def figures(
    draft: Preview | None,
    committed: Preview | None,
    *,
    several: bool,
    is_draft: bool,
    without: tuple[str, str] = ("float", "float"),
) -> str:
    """The table under the editor, as HTML; ``without`` says what there is where there is no preview."""
    worst, largest = ("lowest SQNR", "max error") if several else ("SQNR", "max error")
    lines: list[tuple[str, Callable[[Preview], str], str]] = [
        ("underflow", lambda p: _count(p, p.underflow), _change(draft, committed, "underflow")),
        ("overflow", lambda p: _count(p, p.overflow), _change(draft, committed, "overflow")),
        ("in range", lambda p: _count(p, p.count - p.underflow - p.overflow, bound="at least"), ""),
        (worst, lambda p: _estimate(p.sqnr_db, "dB"), _change(draft, committed, "sqnr_db")),
        (largest, lambda p: _estimate(p.max_error), _change(draft, committed, "max_error")),
    ]
    now = "draft" if is_draft else "now"
    head = f"<thead><tr><td></td><th>{now}</th><th>committed</th><th>change</th></tr></thead>"
    rows = "".join(
        f"<tr><th scope='row'>{name}</th><td>{_of(figure, draft, without[0])}</td>"
        f"<td>{_of(figure, committed, without[1])}</td><td>{escaped(words)}</td></tr>"
        for name, figure, words in lines
    )
    return f"<table class='qw-figures'>{head}<tbody>{rows}</tbody></table>"


def _of(figure: Callable[[Preview], str], preview: Preview | None, without: str) -> str:
    return escaped(without if preview is None else figure(preview))


def _count(preview: Preview, values: int, bound: str = "at most") -> str:
    text = f"{values:,} ({percent_text(values, preview.count)})"
    return text if preview.exact else f"{bound} {text}"


def _estimate(value: float, unit: str = "") -> str:
    text = number_text(value, unit)
    return f"≈ {text}" if math.isfinite(value) and value != 0 else text


def _change(draft: Preview | None, committed: Preview | None, figure: str) -> str:
    """How a figure of a draft differs from what is committed, with its sign; "" where it does not."""
    change = _difference(draft, committed, figure)
    if not change or draft is None or committed is None:
        return ""
    sign = "+" if change > 0 else "\u2212"
    if figure in ("underflow", "overflow"):
        return f"{'' if draft.exact and committed.exact else '≈ '}{sign}{abs(change):,}"
    return f"{sign}{number_text(abs(change), 'dB' if figure == 'sqnr_db' else '')}"


def _difference(draft: Preview | None, committed: Preview | None, figure: str) -> float:
    """How much larger a draft's figure is; 0 where that is not worth a word, or one of the two is not there."""
    if draft is None or committed is None:
        return 0
    before: float = getattr(committed, figure)
    change: float = getattr(draft, figure) - before
    least = {"sqnr_db": 0.05, "max_error": 1e-3 * before}.get(figure, 0)
    return change if abs(change) > least else 0  # NaN, where both are infinite, is no change
