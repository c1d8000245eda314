"""The file of a plan: JSON that a person can read, with the version of its layout.

Reading checks everything before anything is built, and says which entry is wrong. A file names the tensors that it has
formats for, with their shapes, so that one of another network is told apart and what does not fit is named.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwidgets.accumulator_format import ACCUMULATOR, AccumulatorFormat
from qwidgets.atomic_file import replacing
from qwidgets.bit_histogram import BitHistogram
from qwidgets.errors import FileError, FormatError, PlanError
from qwidgets.fixed_point import FixedPoint
from qwidgets.network import Row
from qwidgets.per_channel import PerChannel
from qwidgets.planning import adjustments_file
from qwidgets.planning.adjustments import NONE, Adjustments
from qwidgets.planning.plan_state import Commit, Format, Snapshot

if TYPE_CHECKING:
    from qwidgets.calibrating.calibrated import Calibration

SCHEMA = 2
"""The version of the layout; a file with a higher one is refused. 2 brought formats per channel
and adjustments."""


@dataclasses.dataclass(frozen=True)
class PlanContent:
    """What a file holds."""

    path: Path
    network: str
    digest: str
    rows: tuple[Row, ...]
    snapshot: Snapshot
    histograms: Mapping[str, BitHistogram]

    def snapshot_for(self, calibration: "Calibration | None") -> Snapshot:
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


def write(path: Path, network: str, digest: str, rows: Mapping[str, Row], snapshot: Snapshot) -> None:
    """Write a plan, in the place of what is at ``path`` once all is written."""
    content = {
        "qwidgets": "plan",
        "schema": SCHEMA,
        "network": {"name": network, "digest": digest},
        "tensors": [_tensor(row, snapshot) for row in rows.values()],
        "history": [
            {
                "when": commit.when,
                "who": commit.who,
                "note": commit.note,
                "changes": {n: {"from": _packed(old), "to": _packed(new)} for n, (old, new) in commit.changes.items()},
            }
            for commit in snapshot.history
        ],
    }
    if snapshot.adjustments:
        content["adjustments"] = adjustments_file.packed(snapshot.adjustments, _packed)
    text = json.dumps(content, indent=1, ensure_ascii=False)
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read(path: Path) -> PlanContent:
    """Read and check a whole file.

    Raises
    ------
    FileError
        It cannot be read, is damaged, is no plan, or is of a later version.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise FileError(f"{path} is damaged or is no plan: {error}") from error
    if not isinstance(content, dict) or content.get("qwidgets") != "plan":
        raise FileError(f"{path} is no plan of this package; Plan.save writes one")
    if not isinstance(content.get("schema"), int) or content["schema"] > SCHEMA:
        raise FileError(f"{path} has layout {content.get('schema')!r}; this package reads up to {SCHEMA}: update it")
    try:
        return _content(path, content)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        reason = f"there is no {error}" if isinstance(error, KeyError) else str(error)
        raise FileError(f"{path} is damaged: {reason}") from error


def _content(path: Path, content: dict[str, Any]) -> PlanContent:
    tensors = content["tensors"]
    committed = {t["name"]: _unpacked(t["format"]) for t in tensors}
    adjustments, histograms = NONE, dict[str, BitHistogram]()
    if "adjustments" in content:
        adjustments, histograms = adjustments_file.unpacked(content["adjustments"], _unpacked)
    _check_shapes(adjustments, {t["name"]: tuple(t["shape"]) for t in tensors})
    return PlanContent(
        path=path,
        network=str(content["network"]["name"]),
        digest=str(content["network"]["digest"]),
        rows=tuple(
            Row(
                name=str(t["name"]),
                layer=str(t["layer"]),
                fused=tuple(map(str, t["fused"])),
                kind=t["kind"],
                operation=str(t["operation"]),
                shape=tuple(t["shape"]),
            )
            for t in tensors
        ),
        snapshot=Snapshot(
            committed=committed,
            drafts={t["name"]: _unpacked(t["draft"]) for t in tensors if "draft" in t},
            locked=frozenset(t["name"] for t in tensors if t["locked"]),
            history=tuple(
                Commit(
                    when=str(c["when"]),
                    who=str(c["who"]),
                    note=str(c["note"]),
                    changes={n: (_unpacked(ends["from"]), _unpacked(ends["to"])) for n, ends in c["changes"].items()},
                )
                for c in content["history"]
            ),
            adjustments=adjustments,
        ),
        histograms=histograms,
    )


def _check_shapes(adjustments: Adjustments, shapes: Mapping[str, tuple[int | None, ...]]) -> None:
    """Raise a ValueError where an array does not fit the tensor that it is for."""
    for row, factors in adjustments.factors.items():
        of_channels = [factor for factor in factors if factor.shape == shapes[row][1:2]]
        if not all(_broadcasts(factor.shape, shapes[row]) for factor in factors) and len(of_channels) != 1:
            raise ValueError(f"the factors of {row!r} have not its shape")
    exact = {row: shift.shape for row, shift in adjustments.shifts.items()}
    exact |= {row: rounding.offsets.shape for row, rounding in adjustments.roundings.items()}
    for row, shape in exact.items():
        if shape != shapes[row]:
            raise ValueError(f"what is added to {row!r} has not its shape")


def _broadcasts(shape: tuple[int, ...], to: tuple[int | None, ...]) -> bool:
    return len(shape) == len(to) and all(size in (1, whole) for size, whole in zip(shape, to, strict=True))


def _tensor(row: Row, snapshot: Snapshot) -> dict[str, object]:
    packed: dict[str, object] = dataclasses.asdict(row)
    packed["format"] = _packed(snapshot.committed[row.name])
    if row.name in snapshot.drafts:
        packed["draft"] = _packed(snapshot.drafts[row.name])
    packed["locked"] = row.name in snapshot.locked
    return packed


def _packed(fmt: Format) -> dict[str, object] | str | None:
    if fmt is None or isinstance(fmt, AccumulatorFormat):
        return None if fmt is None else fmt.window
    return dataclasses.asdict(fmt)


def _unpacked(packed: Mapping[str, Any] | str | None) -> Format:
    if packed is None or packed == ACCUMULATOR.window:
        return None if packed is None else ACCUMULATOR
    if isinstance(packed, str):
        raise FormatError(f"there is no format {packed!r}")
    return PerChannel(**packed) if "fraction_lengths" in packed else FixedPoint(**packed)


def _shown(row: Row) -> str:
    shape = "×".join("N" if length is None else str(length) for length in row.shape) or "scalar"
    return f"{row.kind} of shape {shape}"
