"""The file of a plan: JSON that a person can read, with the version of its layout and a checksum.

Reading checks everything before anything is built, and says which entry is wrong. A file names the tensors that it has
formats for, with their shapes, so that one of another network is told apart and what does not fit is named. A file that
is not what was saved is refused; whoever edits one by hand says so in the place of the checksum, and the history of the
plan then says so too.
"""

import dataclasses
import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qwidgets.calibration import Calibration
from qwidgets.errors import EditedFileWarning, FileError, FormatError, PlanError
from qwidgets.files import check_json, json_checksum, json_schema, parse_json, replacing, source_of
from qwidgets.formats import ACCUMULATOR, AccumulatorFormat, FixedPoint, PerChannel
from qwidgets.histograms import BitHistogram
from qwidgets.network import Row
from qwidgets.tuning import adjustments_file, plan_formats
from qwidgets.tuning.adjustments import NONE
from qwidgets.tuning.snapshot import Commit, Format, Snapshot, formats_after

SCHEMA = 3
"""The version of the layout; a file with a higher one is refused. 2 brought formats per channel and adjustments,
3 the checksum."""

CHECKED_SINCE = 3

MOST_BYTES = 1 << 28
"""A file that is longer is refused; the roundings of 500 million weights take less."""

EDITED = "edited by hand"
"""What stands in the place of the checksum where a person changed the file."""


@dataclasses.dataclass(frozen=True)
class PlanContent:
    """What a file holds."""

    path: Path
    network: str
    digest: str
    rows: tuple[Row, ...]
    snapshot: Snapshot
    histograms: Mapping[str, BitHistogram]

    def snapshot_for(self, calibration: Calibration | None) -> Snapshot:
        """Give the state that was saved, with the statistics of the tensors as they are adjusted in it."""
        adjustments = self.snapshot.adjustments
        if calibration is None or not adjustments:
            return self.snapshot
        values = adjustments.parameters(calibration.parameters)
        adjusted = dataclasses.replace(adjustments, calibration=calibration.with_values(values, self.histograms))
        return dataclasses.replace(self.snapshot, adjustments=adjusted)

    def check_fits(self, network: str, rows: tuple[Row, ...]) -> None:
        """Raise a PlanError that names what does not fit, unless the file is of a network with these tensors."""
        theirs, ours = ({row.name: row for row in each} for each in (self.rows, rows))
        misfits = [f"{name!r} is not in the network" for name in theirs if name not in ours]
        misfits += [f"{name!r} is not in the file" for name in ours if name not in theirs]
        misfits += [
            f"{name!r} is a {_shown(theirs[name])} in the file and a {_shown(row)} in the network"
            for name, row in ours.items()
            if name in theirs and (row.kind, row.shape) != (theirs[name].kind, theirs[name].shape)
        ]
        if misfits:
            more = f"; and {len(misfits) - 5} more" if len(misfits) > 5 else ""
            raise PlanError(
                f"{self.path} is a plan of {self.network}, which does not fit this {network}: "
                f"{'; '.join(misfits[:5])}{more}. Nothing was changed."
            )


def write(path: str | os.PathLike[str], network: str, digest: str, rows: Mapping[str, Row], snapshot: Snapshot) -> None:
    """Write a plan, in the place of what is at ``path`` once all is written."""
    content = {
        "network": {"name": network, "digest": digest},
        "tensors": [_tensor(row, snapshot) for row in rows.values()],
        "history": [
            {
                "when": commit.when,
                "who": commit.who,
                "note": str(commit.note),
                "changes": {n: {"from": _packed(old), "to": _packed(new)} for n, (old, new) in commit.changes.items()},
            }
            for commit in snapshot.history
        ],
    }
    if snapshot.adjustments:
        content["adjustments"] = adjustments_file.packed(snapshot.adjustments, _packed)
    with replacing(path) as temporary:
        head = {"qwidgets": "plan", "schema": SCHEMA}
        checksum = json_checksum({**head, **content})
        text = json.dumps({**head, "checksum": checksum, **content}, indent=1, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def read(path: str | os.PathLike[str]) -> PlanContent:
    """Read and check a whole file.

    Raises
    ------
    FileError
        It cannot be read, is damaged, is no plan, or is of a later version.
    """
    path = source_of(path, MOST_BYTES)
    try:
        content = parse_json(path.read_text(encoding="utf-8-sig"))  # some editors write a mark at the start
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise FileError(f"{path} is damaged or is no plan: {error}") from error
    if not isinstance(content, dict) or content.get("qwidgets") != "plan":
        raise FileError(f"{path} is no plan of this package; Plan.save writes one")
    if type(content.get("schema")) is not int or content["schema"] > SCHEMA:
        raise FileError(f"{path} has layout {content.get('schema')!r}; this package reads up to {SCHEMA}: update it")
    try:
        check_json(content, json_schema("qwidgets.tuning", "plan.schema.json"))
        saved = content.pop("checksum", None)
        found = _content(path, content, edited=saved == EDITED)
    except ValueError as error:
        raise FileError(f"{path} is damaged: {error}") from error
    if saved == EDITED:
        warnings.warn(f"{path} was edited by hand; the plan's history says so", EditedFileWarning, stacklevel=3)
    elif saved != (json_checksum(content) if content["schema"] >= CHECKED_SINCE else None):
        raise FileError(f"{path} is not what was saved: its checksum is another. {_ADVICE}")
    return found


_ADVICE = f'If you edited it, write "checksum": "{EDITED}" in it; if not, it is damaged: go back to a copy of it'


def _content(path: Path, content: dict[str, Any], *, edited: bool) -> PlanContent:
    tensors = content["tensors"]
    rows = {t["name"]: _row(t) for t in tensors}
    if len(rows) < len(tensors):
        raise ValueError("tensors: two have one name")
    committed = {t["name"]: _unpacked(rows[t["name"]], t["format"]) for t in tensors}
    drafts = {t["name"]: _unpacked(rows[t["name"]], t["draft"]) for t in tensors if "draft" in t}
    adjustments, histograms = NONE, dict[str, BitHistogram]()
    if "adjustments" in content:
        adjustments, histograms = adjustments_file.unpacked(content["adjustments"], rows, _unpacked)
    return PlanContent(
        path=path,
        network=content["network"]["name"],
        digest=content["network"]["digest"],
        rows=tuple(rows.values()),
        snapshot=Snapshot(
            committed=committed,
            drafts={name: fmt for name, fmt in drafts.items() if fmt != committed[name]},
            locked=frozenset(t["name"] for t in tensors if t["locked"]),
            history=_history(path, content["history"], rows, committed, edited=edited),
            adjustments=adjustments,
        ),
        histograms=histograms,
    )


def _history(
    path: Path, entries: list[dict[str, Any]], rows: Mapping[str, Row], committed: Mapping[str, Format], *, edited: bool
) -> tuple[Commit, ...]:
    """Give the commits, which lead to the committed formats; of an edited file, with the edit as the last of them."""
    history = []
    for place, entry in enumerate(entries):
        if unknown := [name for name in entry["changes"] if name not in rows]:
            raise ValueError(f"history/{place}: there is no tensor {unknown[0]!r}")
        changes = {
            name: (_unpacked(rows[name], ends["from"]), _unpacked(rows[name], ends["to"]))
            for name, ends in entry["changes"].items()
        }
        history.append(Commit(entry["when"], entry["who"], entry["note"], changes))
    reached = formats_after(rows, history)
    differing = {name: (reached[name], fmt) for name, fmt in committed.items() if reached[name] != fmt}
    if edited:
        history.append(Commit.now(f"edited by hand in {path.name}", differing))
    elif differing:
        name, (before, after) = next(iter(differing.items()))
        raise ValueError(
            f"{name!r} has the format {after or 'float'}, and its history leads to {before or 'float'}. {_ADVICE}"
        )
    return tuple(history)


def _tensor(row: Row, snapshot: Snapshot) -> dict[str, object]:
    packed: dict[str, object] = dataclasses.asdict(row)
    packed["format"] = _packed(snapshot.committed[row.name])
    if row.name in snapshot.drafts:
        packed["draft"] = _packed(snapshot.drafts[row.name])
    packed["locked"] = row.name in snapshot.locked
    return packed


def _row(tensor: Mapping[str, Any]) -> Row:
    facts = {field.name: tensor[field.name] for field in dataclasses.fields(Row)}
    return Row(**(facts | {"fused": tuple(tensor["fused"]), "shape": tuple(tensor["shape"])}))


def _packed(fmt: Format) -> dict[str, object] | str | None:
    if fmt is None or isinstance(fmt, AccumulatorFormat):
        return None if fmt is None else fmt.window
    return dataclasses.asdict(fmt)


def _unpacked(row: Row, packed: Mapping[str, Any] | str | None) -> Format:
    """Give a format that the tensor can have, or raise a FormatError."""
    fmt: Format = None
    if packed == ACCUMULATOR.window:
        fmt = ACCUMULATOR
    elif isinstance(packed, str):
        raise FormatError(f"there is no format {packed!r}")
    elif packed is not None:
        kind = PerChannel if "fraction_lengths" in packed else FixedPoint
        names = {field.name for field in dataclasses.fields(kind)}
        if odd := sorted(names ^ set(packed)):
            raise FormatError(f"a format of {row.name!r} has no {odd[0]!r}, or should not have it")
        fmt = kind(**packed)
    return plan_formats.read(row, fmt)


def _shown(row: Row) -> str:
    shape = "×".join("N" if length is None else str(length) for length in row.shape) or "scalar"
    return f"{row.kind} of shape {shape}"
