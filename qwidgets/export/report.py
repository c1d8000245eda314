"""A committed plan as one page that an engineer attaches to a review: no script, and nothing from elsewhere.

It shows what every tensor's format does to its values, with its row of the bit heat map, what validation gave, what was
adjusted and the history. The template is ``report.html.jinja``; here is only what it shows.
"""

import datetime
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
from torch import nn

from qwidgets.calibration import Calibration
from qwidgets.errors import PlanError
from qwidgets.export.registry import Export, register_export
from qwidgets.files import replacing
from qwidgets.histograms import Preview
from qwidgets.pictures import (
    LIMITS,
    BitRange,
    Severity,
    format_text,
    number_text,
    parts,
    percent_text,
    severity_of,
    strip,
    window_of,
)
from qwidgets.remedies import Findings
from qwidgets.tuning import Commit, PlanState
from qwidgets.validation import validate

CHANGES_SHOWN = 12
MOST_NAMED = 12
TICKS = 8
VALIDATION_COLUMNS = {"kind", "format", "float", "quantized", "sqnr_db", "float_bytes", "quantized_bytes"}


@dataclass(frozen=True)
class Figure:
    """A number of the table, as text, and how much attention it deserves."""

    text: str
    severity: Severity = ""


def write(
    plan: PlanState,
    path: str | os.PathLike[str],
    validation: pd.DataFrame | None = None,
    remedies: Findings | None = None,
) -> None:
    """Write a plan's report as HTML.

    Only what is committed is reported. Where drafts are open the report says so and names them, since it may be
    wanted while work goes on; the exports for tools refuse instead.

    Parameters
    ----------
    path
        An existing file stays whole until the new one is.
    validation
        What :func:`qwidgets.validate` gave for the formats that are committed.
    remedies
        What :meth:`qwidgets.Plan.remedies` found for them.

    Raises
    ------
    PlanError
        The plan has no calibration; or the validation is no such table, or it or the remedies are of another network or
        of other formats.
    FileError
        The file cannot be written.

    Examples
    --------
    >>> import tempfile, torch
    >>> from pathlib import Path
    >>> from qwidgets.calibration import calibrate
    >>> layer = torch.nn.Sequential(torch.nn.Linear(4, 2))
    >>> plan = calibrate(layer, [torch.randn(8, 4)], progress=False).propose(word_length=8)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(plan, Path(folder, "report.html"))
    ...     page = Path(folder, "report.html").read_text()
    >>> "<script" in page, "0.weight" in page
    (False, True)
    """
    page = _page(plan, validation, remedies)
    with replacing(path) as temporary:
        # Half an emoji, as a note or a name may have, is no UTF-8.
        temporary.write_text(page, encoding="utf-8", errors="backslashreplace")


def _page(plan: PlanState, validation: pd.DataFrame | None, remedies: Findings | None) -> str:
    calibration, measured = plan.calibration, plan.measured
    if calibration is None or measured is None:
        raise PlanError("a report shows counts, and this plan has no calibration; Plan.load(path, calibration)")
    in_network = None if validation is None else _sqnr_in_network(plan, validation)
    if remedies is not None and not remedies.hold_for(plan):
        raise PlanError("the remedies were found for other formats than are committed; look for them again")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    template = resources.files("qwidgets.export").joinpath("report.html.jinja").read_text(encoding="utf-8")
    bits = _bits(plan, calibration)
    rows = [_row(plan, calibration, name, bits, in_network) | {"place": place} for place, name in enumerate(plan)]
    return environment.from_string(template).render(
        network=plan.network,
        drafts=list(plan.drafts),
        facts=_facts(plan, measured),
        validation=None if validation is None else _validated(validation),
        remedies=remedies,
        places={name: place for place, name in enumerate(plan)},
        ticks=_ticks(bits),
        bits=bits,
        rows=rows,
        severe=[row for row in rows if row["severity"] == "severe"],
        notable=[row for row in rows if row["severity"] == "notable"],
        most_named=MOST_NAMED,
        limits=LIMITS,
        adjustments=list(_adjustments(plan)),
        history=[_commit(commit) for commit in reversed(plan.history)],
        made=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=version("qwidgets"),
    )


def _sqnr_in_network(plan: PlanState, validation: pd.DataFrame) -> dict[str, float]:
    """Give the SQNR of each tensor in the network, or raise a PlanError where the table is not of what is committed."""
    if not isinstance(validation, pd.DataFrame) or not set(validation.columns) >= VALIDATION_COLUMNS:
        raise PlanError("the validation is not what validate(model, plan, data) gives; pass its table as it is")
    # A tensor may be called as the network or a metric is.
    tensors = validation[~validation["kind"].isin(["metric", "network", "output"])]
    if set(tensors.index) != set(plan):
        raise PlanError(f"the validation is of another network than {plan.network}; validate this plan")
    for name, given in tensors["format"].items():
        now = str(plan.committed[str(name)] or "float")
        if given != now:
            raise PlanError(f"{name!r} was validated as {given} and is committed as {now}; validate again")
    return {str(name): float(value) for name, value in tensors["sqnr_db"].items()}


def _facts(plan: PlanState, measured: Calibration) -> dict[str, str]:
    kinds = Counter(row.kind for row in plan.rows)
    words = Counter("float" if fmt is None else f"{fmt.word_length} bits" for fmt in plan.committed.values())
    batches = f"{measured.batches:,} batches{'' if measured.complete else ', not all of the data'}"
    return {
        "Tensors": f"{len(plan)}: " + ", ".join(_counted(count, kind) for kind, count in kinds.items()),
        "Word lengths": ", ".join(f"{word}: {count}" for word, count in words.most_common()),
        "Calibrated on": f"{batches}, {measured.device}",
        "Network": plan.digest,
        "Weights": f"SHA-256 {measured.weights_digest}" if measured.weights_digest else "values not known",
        "Data": f"SHA-256 {measured.data_digest} of its histograms",
    }


def _counted(count: int, noun: str) -> str:
    plural = "biases" if noun == "bias" else f"{noun}s"
    return f"{count} {noun if count == 1 else plural}"


def _bits(plan: PlanState, calibration: Calibration) -> BitRange:
    return BitRange.over(
        [calibration[name].msb_counts() for name in plan], [window_of(fmt) for fmt in plan.committed.values()]
    )


def _ticks(bits: BitRange) -> list[tuple[str, float]]:
    """Give the bits that are written over the heat map, and where, in percent of its width."""
    every = max(2, 2 ** (len(bits) // TICKS).bit_length())
    positions = (bit for bit in range(bits.top, bits.bottom - 1, -1) if bit % every == 0)
    return [(str(bit), 100 * (bits.column(bit) + 0.5) / len(bits)) for bit in positions]


def _row(
    plan: PlanState, calibration: Calibration, name: str, bits: BitRange, in_network: dict[str, float] | None
) -> dict[str, Any]:
    row, fmt, preview = plan.row(name), plan.committed[name], plan.committed_preview(name)
    word, window, *more = ("", "float") if fmt is None else parts(fmt)
    shown = [
        _share(preview, "underflow"),
        _share(preview, "overflow"),
        Figure("–") if preview is None else _sqnr(preview.sqnr_db, "≈ "),
    ]
    if in_network is not None:
        shown.append(_sqnr(in_network[name], ""))
    changes = ((commit.note, *commit.changes.get(name, (None, None))) for commit in reversed(plan.history))
    note = next((note for note, old, new in changes if old != new), "")
    severities = {figure.severity for figure in shown}
    return {
        "name": name,
        "fused": ", ".join(part for part in row.fused if part != row.layer),
        "kind": row.kind,
        "operation": row.operation,
        "shape": "×".join("N" if size is None else str(size) for size in row.shape),
        "window": window,
        "word": ", ".join([word, *more]),
        "locked": name in plan.locked,
        "strip": strip(calibration[name].msb_counts(), bits, window_of(fmt), window_of(fmt)),
        "count": f"{calibration[name].count:,}",
        "figures": shown,
        "severity": "severe" if "severe" in severities else "notable" if "notable" in severities else "",
        "note": note,
    }


def _share(preview: Preview | None, which: str) -> Figure:
    if preview is None:
        return Figure("–")
    values = int(getattr(preview, which))
    percent = 100 * values / max(preview.count, 1)
    text = percent_text(values, preview.count)
    if values and not preview.exact and not text.startswith("<"):
        text = f"≤ {text}"
    return Figure(text, severity_of(f"{which}_percent", percent))


def _sqnr(value: float, about: str) -> Figure:
    text = number_text(value, "dB")
    return Figure(f"{about}{text}" if np.isfinite(value) else text, severity_of("sqnr_db", value))


def _validated(validation: pd.DataFrame) -> dict[str, Any]:
    metrics = validation[validation["kind"] == "metric"]
    (whole,) = validation[validation["kind"] == "network"].to_dict("records")
    return {
        "metrics": [
            (str(name), f"{before:.6g}", f"{after:.6g}", f"{after - before:+.3g}")
            for name, before, after in zip(metrics.index, metrics["float"], metrics["quantized"], strict=True)
        ],
        "sqnr": _sqnr(float(whole["sqnr_db"]), ""),
        "float_bytes": f"{whole['float_bytes']:,}",
        "quantized_bytes": f"{whole['quantized_bytes']:,}",
    }


def _adjustments(plan: PlanState) -> Iterator[tuple[str, str]]:
    """Give the tensors whose numbers were changed, and how."""
    adjustments = plan.adjustments
    for name in plan:
        changes = []
        for factor in adjustments.factors.get(name, ()):
            lowest, highest = (number_text(float(edge)) for edge in (factor.min(), factor.max()))
            changes.append(f"channels multiplied by {lowest} … {highest}")
        if name in adjustments.shifts:
            changes.append(f"shifted by up to {number_text(float(np.abs(adjustments.shifts[name]).max()))}")
        if name in adjustments.roundings:
            rounding = adjustments.roundings[name]
            state = "" if rounding.fmt == plan.committed[name] else " (not in force: its format was changed since)"
            moved = int(np.count_nonzero(rounding.offsets))
            changes.append(f"{moved:,} of {rounding.offsets.size:,} values not rounded to the nearest{state}")
        if changes:
            yield name, ", ".join(changes)


def _commit(commit: Commit) -> dict[str, Any]:
    changes = [(name, format_text(old), format_text(new)) for name, (old, new) in commit.changes.items() if old != new]
    return {
        "when": commit.when,
        "who": commit.who,
        "note": commit.note,
        "changes": changes[:CHANGES_SHOWN],
        "count": len(changes),
        "more": max(len(changes) - CHANGES_SHOWN, 0),
    }


def _write_validated(
    plan: PlanState,
    path: Path,
    model: nn.Module | None,
    data: Iterable[Any] | None,
    remedies: Findings | None = None,
) -> None:
    write(plan, path, None if data is None or model is None else validate(model, plan, data), remedies)


register_export(
    Export(
        name="report",
        title="report",
        suffix=".html",
        about="One page to read, print and attach to a review.",
        write=_write_validated,
        tells_remedies=True,
    )
)
