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
    worst, largest = ("lowest SQNR", "largest error") if several else ("SQNR", "largest error")
    lines: list[tuple[str, Callable[[Preview], str], str]] = [
        ("underflow", lambda p: _count(p, p.underflow), _more(draft, committed, "underflow")),
        ("overflow", lambda p: _count(p, p.overflow), _more(draft, committed, "overflow")),
        ("in range", lambda p: _count(p, p.count - p.underflow - p.overflow, bound="at least"), ""),
        (worst, lambda p: _estimate(p.sqnr_db, "dB"), _better(draft, committed)),
        (largest, lambda p: _estimate(p.max_error), _larger(draft, committed)),
    ]
    now = "draft" if is_draft else "now"
    head = f"<thead><tr><th></th><th>{now}</th><th>committed</th><th></th></tr></thead>"
    rows = "".join(
        f"<tr><th scope='row'>{name}</th><td>{_of(figure, draft, without[0])}</td>"
        f"<td>{_of(figure, committed, without[1])}</td><td>{escaped(words)}</td></tr>"
        for name, figure, words in lines
    )
    return f"<table class='qw-figures'>{head}<tbody>{rows}</tbody></table>"


def difference(draft: Preview | None, committed: Preview | None) -> str:
    """How a draft differs from what is committed, in a sentence.

    Examples
    --------
    >>> difference(Preview(100, 30, 0, 0.1, 10.0, 1.0, True), Preview(100, 10, 2, 0.1, 30.5, 1.0, True))
    '20 more underflow, 2 fewer overflow, SQNR 20.5 dB worse'
    """
    if draft is None or committed is None:
        return ""
    words = [_more(draft, committed, "underflow"), _more(draft, committed, "overflow"), _better(draft, committed)]
    words[2] = f"SQNR {words[2]}" if words[2] else ""
    return ", ".join(filter(None, words)) or "no difference that was counted"


def _of(figure: Callable[[Preview], str], preview: Preview | None, without: str) -> str:
    return escaped(without if preview is None else figure(preview))


def _count(preview: Preview, values: int, bound: str = "at most") -> str:
    text = f"{values:,} ({percent_text(values, preview.count)})"
    return text if preview.exact else f"{bound} {text}"


def _estimate(value: float, unit: str = "") -> str:
    text = number_text(value, unit)
    return f"≈ {text}" if math.isfinite(value) and value != 0 else text


def _more(draft: Preview | None, committed: Preview | None, name: str) -> str:
    if draft is None or committed is None:
        return ""
    change = getattr(draft, name) - getattr(committed, name)
    if not change:
        return ""
    about = "" if draft.exact and committed.exact else "about "
    return f"{about}{abs(change):,} {'more' if change > 0 else 'fewer'} {name}"


def _better(draft: Preview | None, committed: Preview | None) -> str:
    if draft is None or committed is None:
        return ""
    change = draft.sqnr_db - committed.sqnr_db
    if not abs(change) >= 0.05:  # NaN, where both are infinite
        return ""
    return f"{number_text(abs(change), 'dB')} {'better' if change > 0 else 'worse'}"


def _larger(draft: Preview | None, committed: Preview | None) -> str:
    if draft is None or committed is None:
        return ""
    change = draft.max_error - committed.max_error
    if not abs(change) > 1e-3 * committed.max_error:
        return ""
    return f"{number_text(abs(change))} {'larger' if change > 0 else 'smaller'}"
