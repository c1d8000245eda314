"""Tensors of different sizes that are joined, or added, under one window."""

from qwidgets import schemes
from qwidgets.histograms import BitHistogram
from qwidgets.network import Operation
from qwidgets.remedies.cause import Cause, Evidence, bits_text, register_cause

JOINS = frozenset(["cat", "stack", "concat", "concatenate", "hstack", "vstack", "dstack"])
MEETS = JOINS | {"add", "sub"}

APART = 2
"""They differ by so many bits at least."""


@register_cause
def shared_window(evidence: Evidence) -> Cause | None:
    """Tell it by how far the tensors reach that meet in an operation."""
    fmt = evidence.window
    if fmt is None:
        return None
    if evidence.operation is not None and evidence.operation.name in JOINS:
        return _joined(evidence, evidence.operation)
    top = _top(evidence.histogram)
    beside = {other for reader in evidence.read_by if reader.name in MEETS for other in _sources(reader)}
    for other in sorted(beside):
        its = _top(evidence.calibration[other])
        if top is None or its is None or its - top < APART or evidence.plan.committed[other] != fmt:
            continue
        best = schemes.anew(evidence.calibration, evidence.row, fmt, per_channel=False)
        text = f"it has the window of {other}, beside which it is smaller by 2^{its - top}"
        return Cause("shared_window", text, (evidence.trial(f"a window of its own, {best.window}", best),))
    return None


def _joined(evidence: Evidence, join: Operation) -> Cause | None:
    tops = {source: top for source in _sources(join) if (top := _top(evidence.calibration[source])) is not None}
    if len(tops) < 2 or max(tops.values()) - min(tops.values()) < APART:
        return None
    large, small = max(tops, key=tops.__getitem__), min(tops, key=tops.__getitem__)
    apart = tops[large] - tops[small]
    text = (
        f"it joins {large}, which reaches 2^{tops[large] + 1}, and {small}, which reaches 2^{tops[small] + 1}: "
        f"under one window the latter has {bits_text(apart)} fewer"
    )
    return Cause("shared_window", text)


def _sources(reader: Operation) -> list[str]:
    """Give the rows that an operation reads, through what only moves values."""
    rows = (operand.source.slot or operand.source.constant for operand in reader.operands)
    return [row for row in dict.fromkeys(rows) if row is not None]


def _top(histogram: BitHistogram) -> int | None:
    """Give the highest bit that a tensor reaches; None where it has none."""
    counts = histogram.msb_counts()
    counts = counts[counts > 0]
    return None if counts.empty else int(counts.index.max())
