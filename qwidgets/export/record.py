"""A committed plan as a record that outlives this package: JSON with a published schema, or a table as CSV.

It holds what each tensor's format is, what that does to its values, who changed it last and why, and digests of the
network, its weights and the data. :func:`qwidgets.plan.Plan.save` writes what a plan is loaded from; this is for others
to read.
"""

import csv
import functools
import json
import math
import os
from collections.abc import Mapping
from importlib import resources
from importlib.metadata import version
from typing import Any

from torch import nn

from qwidgets.errors import ExportError
from qwidgets.export.export_input import committed_network
from qwidgets.export.registry import Export, register_export
from qwidgets.files import replacing
from qwidgets.formats import AccumulatorFormat, FixedPoint, PerChannel, stored
from qwidgets.network import Row
from qwidgets.tuning import Commit, Format, PlanState

SCHEMA = 1
"""The version of the layout, in each record; a change that readers would notice makes it higher."""

HALF_LETTERS = "backslashreplace"
"""What UTF-8 cannot hold, half an emoji in a note, is written as ``\\ud83d``, which JSON reads as what it was."""


def to_json(plan: PlanState, path: str | os.PathLike[str], model: nn.Module | None = None) -> None:
    """Write the record of a plan as JSON, as ``qwidgets/export/record.schema.json`` describes it.

    Parameters
    ----------
    plan
        Its committed formats.
    path
        An existing file stays whole until the new one is.
    model
        The network, where the plan does not know it. It tells the step of each accumulator.

    Raises
    ------
    PlanError
        There are drafts; or the plan has no calibration, does not know its network, or is of another one.
    ExportError
        Something in it is not what the schema says, such as a note that is no text; it is named.
    FileError
        The file cannot be written.

    Examples
    --------
    >>> import tempfile, torch
    >>> from qwidgets.calibration import calibrate
    >>> plan = calibrate(nn.Sequential(nn.Linear(4, 2)), [torch.randn(8, 4)], progress=False).propose(word_length=8)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     to_json(plan, f"{folder}/record.json")
    ...     with open(f"{folder}/record.json") as file:
    ...         record = json.load(file)
    >>> weight = record["tensors"][1]
    >>> weight["name"], weight["format"]["word_length"], weight["change"]["note"]
    ('0.weight', 8, 'mse, 8 bits')
    """
    text = json.dumps(_record(plan, model), indent=1, ensure_ascii=False, allow_nan=False)
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8", errors=HALF_LETTERS)


def to_csv(plan: PlanState, path: str | os.PathLike[str], model: nn.Module | None = None) -> None:
    """Write the record of a plan as CSV, a line for each tensor; the history is left to :func:`to_json`.

    Empty cells are what there is none of. A text that a spreadsheet would compute, one that begins with ``=``, ``+``,
    ``-``, ``@``, a tab or a new line, has an apostrophe before it. Formats per channel have their fraction lengths
    separated by spaces. The version of the layout and the digests are repeated on each line, so that lines of several
    networks can be joined.

    Parameters
    ----------
    plan, path, model
        See :func:`to_json`, also for the errors.
    """
    record = _record(plan, model)
    lines = [_line(tensor, record) for tensor in record["tensors"]]
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", errors=HALF_LETTERS, newline="") as file:
        writer = csv.DictWriter(file, _COLUMNS)
        writer.writeheader()
        writer.writerows(lines)


@functools.cache
def schema() -> dict[str, Any]:
    """Give the JSON schema of the record."""
    text = resources.files("qwidgets.export").joinpath("record.schema.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def _record(plan: PlanState, model: nn.Module | None) -> dict[str, Any]:
    quantized = committed_network(plan, model)
    measured = plan.measured
    assert measured is not None  # or there would be no network
    formats = {row: fmt and stored(fmt) for row, fmt in quantized.program.formats.items()}
    last = {name: commit for commit in plan.history for name, (old, new) in commit.changes.items() if old != new}
    record = {
        "qwidgets": "record",
        "schema": SCHEMA,
        "version": version("qwidgets"),
        "network": {"name": plan.network, "digest": plan.digest, "weights_sha256": measured.weights_digest},
        "data": {"sha256": measured.data_digest, "batches": measured.batches, "complete": measured.complete},
        "tensors": [
            {
                **_place(row),
                "format": _packed(plan.committed[row.name], formats[row.name]),
                "computed_in_float": quantized.float_islands.get(row.name),
                "locked": row.name in plan.locked,
                "change": _signed(last[row.name]) if row.name in last else None,
                "counts": _counts(plan, row.name, formats[row.name]),
            }
            for row in plan.rows
        ],
        "adjustments": {
            "scaled": sorted(plan.adjustments.factors),
            "shifted": sorted(plan.adjustments.shifts),
            "rounded": sorted(plan.adjustments.roundings),
        },
        "history": [
            {
                **_signed(commit),
                "changes": [
                    {"name": name, "from": _packed(old), "to": _packed(new)}
                    for name, (old, new) in commit.changes.items()
                ],
            }
            for commit in plan.history
        ],
    }
    import jsonschema  # takes a second, which only a record is worth

    try:
        jsonschema.validate(record, schema())
    except jsonschema.ValidationError as error:
        where = "/".join(map(str, error.absolute_path))
        raise ExportError(f"the plan cannot be written down: {where}: {error.message}; nothing was written") from error
    return record


def _place(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "layer": row.layer,
        "fused": list(row.fused),
        "kind": row.kind,
        "operation": row.operation,
        "shape": list(row.shape),
    }


def _packed(asked: Format, resolved: FixedPoint | PerChannel | None = None) -> dict[str, Any] | None:
    """Give a format as the record has it; that of a bias at its accumulator with the window that it has there."""
    if asked is None:
        return None
    accumulator = isinstance(asked, AccumulatorFormat)
    fmt = resolved if isinstance(asked, AccumulatorFormat) else asked
    length: int | list[int] | None = None
    if fmt is not None:
        length = list(fmt.fraction_lengths) if isinstance(fmt, PerChannel) else fmt.fraction_length
    return {
        "word_length": asked.word_length,
        "signed": asked.signed,
        "fraction_length": length,
        "msb": None if fmt is None else fmt.msb,
        "lsb": None if fmt is None else fmt.lsb,
        "rounding": None if fmt is None else fmt.rounding,
        "overflow": None if fmt is None else fmt.overflow,
        "accumulator": accumulator,
    }


def _counts(plan: PlanState, name: str, fmt: FixedPoint | PerChannel | None) -> dict[str, Any]:
    assert plan.calibration is not None
    histogram = plan.calibration[name]
    preview = None if fmt is None else plan.preview(name, fmt)
    return {
        "count": histogram.count,
        "min": None if math.isnan(histogram.min) else histogram.min,
        "max": None if math.isnan(histogram.max) else histogram.max,
        "underflow": None if preview is None else preview.underflow,
        "overflow": None if preview is None else preview.overflow,
        "exact": None if preview is None else preview.exact,
    }


def _signed(commit: Commit) -> dict[str, str]:
    return {"when": commit.when, "who": commit.who, "note": commit.note}


_COLUMNS = (
    *("name", "layer", "fused", "kind", "operation", "shape"),
    *("word_length", "signed", "fraction_length", "msb", "lsb", "rounding", "overflow", "accumulator"),
    *("computed_in_float", "locked", "count", "min", "max", "underflow_count", "overflow_count", "exact"),
    *("when", "who", "note"),
    *("schema", "network", "network_digest", "weights_sha256", "data_sha256"),
)
_TEXTS = ("name", "layer", "fused", "operation", "computed_in_float", "who", "note", "network")


def _line(tensor: Mapping[str, Any], record: Mapping[str, Any]) -> dict[str, Any]:
    counts = dict(tensor["counts"])
    line = {
        **{column: tensor[column] for column in ("name", "layer", "kind", "operation", "computed_in_float", "locked")},
        "fused": " ".join(tensor["fused"]),
        "shape": " ".join("N" if size is None else str(size) for size in tensor["shape"]),
        **(tensor["format"] or {}),
        "underflow_count": counts.pop("underflow"),
        "overflow_count": counts.pop("overflow"),
        **counts,
        **(tensor["change"] or {}),
        "schema": record["schema"],
        "network": record["network"]["name"],
        "network_digest": record["network"]["digest"],
        "weights_sha256": record["network"]["weights_sha256"],
        "data_sha256": record["data"]["sha256"],
    }
    length = line.get("fraction_length")
    if isinstance(length, list):
        line["fraction_length"] = " ".join(map(str, length))
    return {**line, **{column: _cell(line[column]) for column in _TEXTS if line.get(column)}}


def _cell(text: str) -> str:
    """Give a text that no spreadsheet takes for a formula: names and notes may be somebody else's."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else text


register_export(
    Export(
        name="json",
        title="JSON record",
        suffix=".json",
        about="Every format with its counts, and the history.",
        write=lambda plan, path, model, _: to_json(plan, path, model),
    )
)
register_export(
    Export(
        name="csv",
        title="CSV table",
        suffix=".csv",
        about="A line for each tensor.",
        write=lambda plan, path, model, _: to_csv(plan, path, model),
    )
)
