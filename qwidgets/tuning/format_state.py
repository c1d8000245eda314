"""Formats that are drafted, committed and taken back: the state of a plan, and everything that changes it.

A :class:`FormatState` is the only owner of formats. All of its state is one immutable snapshot, so that undo is a step
back along a list and every reader sees a consistent whole. It knows the tensors by name and kind, never their values.
"""

import contextlib
import dataclasses
import difflib
import fnmatch
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Literal

import traitlets

from qwidgets.errors import PlanError
from qwidgets.formats import FixedPoint
from qwidgets.network import Row
from qwidgets.tuning import plan_formats
from qwidgets.tuning.adjustments import Adjustments
from qwidgets.tuning.snapshot import Change, ChangeKind, Commit, Format, NumberFormat, Snapshot, Timeline


class FormatState(traitlets.HasTraits):
    """The formats of tensors, with drafts, commits, locks and a way back.

    Parameters
    ----------
    network
        The name of the network that the tensors are of.
    rows
        The tensors.
    start
        The state to begin with.

    Attributes
    ----------
    change
        What was done last; observe it to follow all changes. No lock is held while observers are notified.
    """

    change = traitlets.Instance(Change, allow_none=True, default_value=None, read_only=True)

    def __init__(self, network: str, rows: tuple[Row, ...], start: Snapshot) -> None:
        self._guard = threading.RLock()
        self._depth = 0
        self._pending: list[Any] = []
        super().__init__()
        self.network = network
        self._rows = {row.name: row for row in rows}
        self._timeline = Timeline(start)
        self._last_draft: frozenset[str] = frozenset()

    # What there is

    @property
    def rows(self) -> tuple[Row, ...]:
        """The tensors that a format can be given to, in the order in which the network computes them."""
        return tuple(self._rows.values())

    @property
    def names(self) -> tuple[str, ...]:
        """The tensors' names, in the order of :attr:`rows`."""
        return tuple(self._rows)

    def row(self, name: str) -> Row:
        """What is known of a tensor beside its format."""
        return self._rows[self._known(name)]

    @property
    def committed(self) -> Mapping[str, Format]:
        """The formats that count, as of the last commit."""
        return MappingProxyType(self._timeline.now.committed)

    @property
    def drafts(self) -> Mapping[str, Format]:
        """The formats that were changed since the last commit; None where a tensor is to stay in float."""
        return MappingProxyType(self._timeline.now.drafts)

    @property
    def locked(self) -> frozenset[str]:
        """The names of the tensors whose formats are protected; see :meth:`lock`."""
        return self._timeline.now.locked

    @property
    def history(self) -> tuple[Commit, ...]:
        """The commits that led to the committed formats, oldest first. A commit that was undone is not among them."""
        return self._timeline.now.history

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to take back."""
        return self._timeline.has_past

    @property
    def can_redo(self) -> bool:
        """Whether a step was taken back that can be done again."""
        return self._timeline.has_future

    @property
    def adjustments(self) -> Adjustments:
        """What is changed of the network's numbers beside their formats; see :meth:`equalize`."""
        return self._timeline.now.adjustments

    def __contains__(self, name: object) -> bool:
        return name in self._rows

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, name: str) -> Format:
        """The draft of a tensor where there is one, else its committed format."""
        return self._timeline.now.current(self._known(name))

    # Drafts

    def __setitem__(self, name: str, fmt: NumberFormat | str | None) -> None:
        self.draft({name: fmt})

    def draft(self, formats: Mapping[str, NumberFormat | str | None]) -> None:
        """Change some tensors' formats, without committing: one step for undo.

        Parameters
        ----------
        formats
            By the tensor's name a format, any notation of one, None (keep float); for a weight a `PerChannel`; for a
            bias "accumulator".

        Raises
        ------
        PlanError
            A name is unknown or locked. Nothing is changed then.
        FormatError
            A notation makes no sense, or a tensor cannot have such a format. Nothing is changed then.
        """
        self._draft(formats, continues=False)

    def redraft(self, formats: Mapping[str, NumberFormat | str | None]) -> None:
        """As :meth:`draft`, but part of the step before if that drafted the same tensors: a slider still in motion."""
        self._draft(formats, continues=True)

    def set(self, pattern: str, fmt: NumberFormat | str | None) -> list[str]:
        """Draft one format for every tensor whose name matches a glob; locked ones are passed over.

        Returns
        -------
        The names of the tensors that got it.

        Raises
        ------
        PlanError
            Nothing matches, or all that match are locked.
        """
        matching = self._matching(pattern)
        if not matching:
            raise PlanError(f"no tensor's name matches {pattern!r}{self._suggestion(pattern)}")
        with self._changing():
            free = [name for name in matching if name not in self._timeline.now.locked]
            if not free:
                raise PlanError(f"all {len(matching)} tensors that match {pattern!r} are locked; unlock() them first")
            self._draft(dict.fromkeys(free, fmt), continues=False)
        return free

    def set_rounding(self, rounding: str, pattern: str = "*") -> list[str]:
        """Draft another rounding for the inputs and activations whose names match a glob; locked ones are passed over.

        Weights and biases keep theirs: they are rounded once and not as the network runs, and a weight that was rounded
        adaptively would lose that.

        Returns
        -------
        The names of the tensors whose rounding changes.

        Raises
        ------
        FormatError
            There is no such rounding; see `FixedPoint`. Nothing is changed then.
        PlanError
            No input or activation with a format matches, or all that match are locked.
        """
        with self._changing():
            now = self._timeline.now
            matching = {
                name: dataclasses.replace(fmt, rounding=rounding)
                for name in self._matching(pattern)
                if self._rows[name].kind in ("input", "activation")
                if isinstance(fmt := now.current(name), FixedPoint)
            }
            if not matching:
                raise PlanError(f"no input or activation with a format matches {pattern!r}{self._suggestion(pattern)}")
            free = {name: fmt for name, fmt in matching.items() if name not in now.locked}
            if not free:
                raise PlanError(f"all {len(matching)} tensors that match {pattern!r} are locked; unlock() them first")
            self._draft(free, continues=False)
        return [name for name, fmt in free.items() if fmt != now.current(name)]

    # Steps

    def commit(self, note: str = "") -> Commit:
        """Make the drafts the formats that count, and write that into the history.

        Raises
        ------
        PlanError
            There is no draft.
        """
        with self._changing():
            now = self._timeline.now
            if not now.drafts:
                raise PlanError("there is nothing to commit: no format was changed since the last commit")
            entry = Commit.now(note, {name: (now.committed[name], fmt) for name, fmt in now.drafts.items()})
            committed = {**now.committed, **now.drafts}
            self._step(dataclasses.replace(now, committed=committed, drafts={}, history=(*now.history, entry)))
            self._notify("commit", entry.changes)
        return entry

    def revert(self, name: str | None = None) -> None:
        """Drop the draft of one tensor, or all drafts but those of locked tensors."""
        with self._changing():
            now = self._timeline.now
            if name is not None:
                self._unlocked(self._known(name))
            dropped = {n for n in now.drafts if (n not in now.locked if name is None else n == name)}
            if not dropped:
                return
            kept = {n: fmt for n, fmt in now.drafts.items() if n not in dropped}
            self._step(dataclasses.replace(now, drafts=kept))
            self._notify("revert", dropped)

    def undo(self) -> None:
        """Take back the last draft, commit, revert, lock or opened file.

        Raises
        ------
        PlanError
            There is nothing to undo.
        """
        self._travel("undo", self._timeline.back)

    def redo(self) -> None:
        """Do again what was last undone.

        Raises
        ------
        PlanError
            There is nothing to redo.
        """
        self._travel("redo", self._timeline.forward)

    def lock(self, *names: str) -> None:
        """Protect tensors: their formats can then be neither set nor proposed nor reverted, only committed."""
        self._relock(names, lambda locked: locked | set(names))

    def unlock(self, *names: str) -> None:
        """Free tensors that were locked."""
        self._relock(names, lambda locked: locked - set(names))

    # Behind it

    def _known(self, name: str) -> str:
        if not isinstance(name, str) or name not in self._rows:
            shown = f"{name!r:.300}{self._suggestion(str(name)[:300])}"
            raise PlanError(f"the network {self.network} has no tensor {shown}")
        return name

    def _matching(self, pattern: str) -> list[str]:
        if not isinstance(pattern, str):
            raise PlanError(f"a pattern of names is a text such as '*.weight', not {pattern!r:.80}")
        return [name for name in self._rows if fnmatch.fnmatchcase(name, pattern)]

    def _suggestion(self, name: str) -> str:
        close = difflib.get_close_matches(name, self._rows, n=3, cutoff=0.4)
        return f"; did you mean {' or '.join(map(repr, close))}?" if close else "; plan.names lists all"

    def _unlocked(self, name: str) -> str:
        if name in self._timeline.now.locked:
            raise PlanError(f"{name!r} is locked; plan.unlock({name!r}) frees it")
        return name

    def _draft(self, formats: Mapping[str, NumberFormat | str | None], *, continues: bool) -> None:
        parsed = {name: plan_formats.read(self._rows[self._known(name)], fmt) for name, fmt in formats.items()}
        with self._changing():
            now = self._timeline.now
            for name in parsed:
                self._unlocked(name)
            changed = {name for name, fmt in parsed.items() if now.current(name) != fmt}
            if not changed:
                return
            merged = {**now.drafts, **parsed}
            drafts = {name: fmt for name, fmt in merged.items() if fmt != now.committed[name]}
            following = dataclasses.replace(now, drafts=drafts)
            if continues and self._last_draft == frozenset(parsed):
                self._timeline.now = following
            else:
                self._step(following)
                self._last_draft = frozenset(parsed)
            self._notify("draft", changed)

    def _relock(self, names: tuple[str, ...], change: Callable[[frozenset[str]], frozenset[str]]) -> None:
        with self._changing():
            for name in names:
                self._known(name)
            locked = change(self._timeline.now.locked)
            if locked == self._timeline.now.locked:
                return
            self._step(dataclasses.replace(self._timeline.now, locked=locked))
            self._notify("lock", names)

    def _step(self, following: Snapshot) -> None:
        self._timeline.step(following)
        self._last_draft = frozenset()

    def _travel(self, kind: Literal["undo", "redo"], move: Callable[[], None]) -> None:
        with self._changing():
            before = self._timeline.now
            move()
            self._last_draft = frozenset()
            moved = before.differing(self._timeline.now)
            self._notify(kind, moved)

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """Keep other threads from changing the plan; observers are notified when the outermost block is over.

        An observer may wait for what another thread draws, and that thread for the plan.
        """
        pending: list[Any] = []
        try:
            with self._guard:
                self._depth += 1
                try:
                    yield
                finally:
                    self._depth -= 1
                    if not self._depth:
                        pending, self._pending = self._pending, []
        finally:
            for event in pending:
                super().notify_change(event)

    def notify_change(self, change: Any) -> None:
        """Tell observers; of what is changed just now, once the plan is free again."""
        if self._depth:
            self._pending.append(change)
        else:
            super().notify_change(change)

    def _notify(self, kind: ChangeKind, names: Iterable[str]) -> None:
        revision = self.change.revision + 1 if self.change else 1
        self.set_trait("change", Change(kind, frozenset(names), revision))
