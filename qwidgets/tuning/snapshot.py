"""What a plan is made of: its state at one moment, a commit, what observers are given, and the line of states.

The values are frozen. A :class:`Timeline` moves from one :class:`Snapshot` to the next and back; a file holds one.
"""

import dataclasses
import datetime
import getpass
import os
from collections.abc import Iterable, Mapping
from typing import Literal

from qwidgets.errors import PlanError
from qwidgets.formats import AccumulatorFormat, FixedPoint, PerChannel
from qwidgets.tuning.adjustments import NONE, Adjustments

NumberFormat = FixedPoint | PerChannel | AccumulatorFormat
"""Of a whole tensor, of each output channel of a weight, or of a bias at its layer's accumulator."""

Format = NumberFormat | None
"""A number format, or None for a tensor that stays in floating point."""

ChangeKind = Literal["draft", "commit", "revert", "undo", "redo", "lock", "open"]


@dataclasses.dataclass(frozen=True)
class Change:
    """What observers are given: what happened, to which tensors, and the how-many-th change it was."""

    kind: ChangeKind
    names: frozenset[str]
    revision: int


@dataclasses.dataclass(frozen=True)
class Commit:
    """One entry of the history: who changed what, when, from what to what, and why."""

    when: str
    who: str
    note: str
    changes: Mapping[str, tuple[Format, Format]]

    @classmethod
    def now(cls, note: str, changes: Mapping[str, tuple[Format, Format]]) -> "Commit":
        """A commit of this moment, in universal time, by the person who runs the process."""
        when = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        return cls(when, _whole(_user()), _whole(note) if isinstance(note, str) else note, changes)


def formats_after(names: Iterable[str], history: Iterable[Commit]) -> dict[str, Format]:
    """Give the formats that commits lead to from floating point.

    Raises
    ------
    PlanError
        A commit goes out from another format than the commits before it led to; the text names the tensor.
    """
    formats: dict[str, Format] = dict.fromkeys(names)
    for commit in history:
        for name, (before, after) in commit.changes.items():
            if formats[name] != before:
                raise PlanError(
                    f"{commit.note!r} of {commit.when} changes {name!r} from {before or 'float'}, and the history "
                    f"before it leads to {formats[name] or 'float'}"
                )
            formats[name] = after
    return formats


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """All that a plan knows at one moment."""

    committed: Mapping[str, Format]
    drafts: Mapping[str, Format] = dataclasses.field(default_factory=dict)
    locked: frozenset[str] = frozenset()
    history: tuple[Commit, ...] = ()
    adjustments: Adjustments = NONE

    def current(self, name: str) -> Format:
        """The draft of a tensor where there is one, else its committed format."""
        return self.drafts[name] if name in self.drafts else self.committed[name]

    def differing(self, other: "Snapshot") -> frozenset[str]:
        """The tensors of which a view would have to show something else."""
        if self.adjustments is not other.adjustments:
            return frozenset(self.committed)
        return frozenset(
            name
            for name in self.committed
            if self.committed[name] != other.committed[name]
            or self.current(name) != other.current(name)
            or (name in self.locked) != (name in other.locked)
        )


class Timeline:
    """The snapshots that were, the one that is, and those that were undone."""

    def __init__(self, now: Snapshot) -> None:
        self.now = now
        self._past: list[Snapshot] = []
        self._future: list[Snapshot] = []

    @property
    def has_past(self) -> bool:
        """Whether :meth:`back` leads anywhere."""
        return bool(self._past)

    @property
    def has_future(self) -> bool:
        """Whether :meth:`forward` leads anywhere."""
        return bool(self._future)

    def step(self, following: Snapshot) -> None:
        """Go on to a new snapshot; what was undone before is forgotten."""
        self._past.append(self.now)
        self._future.clear()
        self.now = following

    def back(self) -> None:
        """Return to the snapshot before; a PlanError where there is none."""
        if not self._past:
            raise PlanError("there is nothing to undo")
        self._future.append(self.now)
        self.now = self._past.pop()

    def forward(self) -> None:
        """Undo :meth:`back`; a PlanError where nothing was undone."""
        if not self._future:
            raise PlanError("there is nothing to redo")
        self._past.append(self.now)
        self.now = self._future.pop()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container may run under a user number that has no name.
        return f"uid {os.getuid()}" if hasattr(os, "getuid") else "unknown"


def _whole(text: str) -> str:
    """Give a text that any file can hold: half an emoji, as a browser may send, becomes a replacement character."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
