"""The formats of a network's tensors: drafted, previewed, committed, taken back.

A :class:`Plan` is the only owner of formats. Views observe its ``change`` trait and ask it to change; scripts use the
same methods. It reads the histograms of a calibration and never runs the network. All of its state is one immutable
snapshot, so that undo is a step back along a list and every reader sees a consistent whole.
"""

import dataclasses
import difflib
import fnmatch
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd
import traitlets

from qwidgets import schemes
from qwidgets.errors import PlanError
from qwidgets.fixed_point import FixedPoint
from qwidgets.per_channel import PerChannel
from qwidgets.planning import channel_counts, plan_file, plan_formats, plan_table
from qwidgets.planning.adjustments import Adjustments
from qwidgets.planning.plan_previews import Previews
from qwidgets.planning.plan_state import Change, ChangeKind, Commit, Format, NumberFormat, Snapshot, Timeline
from qwidgets.preview import Preview
from qwidgets.progress import Progress, Stopped, Told

if TYPE_CHECKING:
    from torch import nn

    from qwidgets.calibration import Calibration
    from qwidgets.network import Row
    from qwidgets.targets import Target


@dataclasses.dataclass(frozen=True)
class Adjusted:
    """What a step that looks at the network gives: the adjustments after it, and the formats that it changed."""

    adjustments: Adjustments
    formats: Mapping[str, Format]


class Plan(traitlets.HasTraits):
    """The formats of every tensor of a calibrated network.

    Parameters
    ----------
    calibration
        The statistics of the network's tensors. Every tensor begins in floating point; see :meth:`propose`.

    Examples
    --------
    >>> import torch
    >>> from qwidgets.calibration import calibrate
    >>> layer = torch.nn.Sequential(torch.nn.Linear(4, 2))
    >>> plan = calibrate(layer, [torch.randn(8, 4)], progress=False).propose(word_length=8, scheme="minmax")
    >>> plan["0.weight"] = "numerictype(1, 8, 3)"
    >>> list(plan.drafts)
    ['0.weight']
    >>> plan.preview("0.weight").count
    8
    >>> plan.commit("widen the window").note
    'widen the window'
    >>> plan.undo()
    >>> plan.drafts["0.weight"].window
    '2^3 … 2^-3'
    """

    change = traitlets.Instance(Change, allow_none=True, default_value=None, read_only=True)

    def __init__(self, calibration: "Calibration") -> None:
        super().__init__()
        start = Snapshot(dict.fromkeys(row.name for row in calibration.rows))
        self._assemble(calibration, calibration.network, calibration.digest, calibration.rows, start)

    def _assemble(
        self, calibration: "Calibration | None", network: str, digest: str, rows: "tuple[Row, ...]", start: Snapshot
    ) -> None:
        self._calibration = calibration
        self.network = network
        self.digest = digest
        self._rows = {row.name: row for row in rows}
        self._timeline = Timeline(start)
        self._last_draft: frozenset[str] = frozenset()
        self._previews = Previews()
        self._guard = threading.RLock()

    # What there is

    @property
    def rows(self) -> "tuple[Row, ...]":
        """The tensors that a format can be given to, in the order in which the network computes them."""
        return tuple(self._rows.values())

    @property
    def names(self) -> tuple[str, ...]:
        """The tensors' names, in the order of :attr:`rows`."""
        return tuple(self._rows)

    def row(self, name: str) -> "Row":
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

    def __contains__(self, name: object) -> bool:
        return name in self._rows

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, name: str) -> Format:
        """The draft of a tensor where there is one, else its committed format."""
        return self._timeline.now.current(self._known(name))

    @property
    def calibration(self) -> "Calibration | None":
        """The statistics of the network's tensors, as they are after the :attr:`adjustments`."""
        return self._timeline.now.adjustments.calibration or self._calibration

    @property
    def measured(self) -> "Calibration | None":
        """The statistics as they were counted, before any of the :attr:`adjustments`."""
        return self._calibration

    @property
    def model(self) -> "nn.Module | None":
        """The network that was calibrated; None where the statistics came from a file."""
        return self._calibration.model if self._calibration else None

    @property
    def adjustments(self) -> Adjustments:
        """What is changed of the network's numbers beside their formats; see :meth:`equalize`."""
        return self._timeline.now.adjustments

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
        matching = [name for name in self._rows if fnmatch.fnmatchcase(name, pattern)]
        if not matching:
            raise PlanError(f"no tensor's name matches {pattern!r}{self._suggestion(pattern)}")
        with self._guard:
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
        with self._guard:
            now = self._timeline.now
            matching = {
                name: dataclasses.replace(fmt, rounding=rounding)
                for name, row in self._rows.items()
                if row.kind in ("input", "activation") and fnmatch.fnmatchcase(name, pattern)
                if isinstance(fmt := now.current(name), FixedPoint)
            }
            if not matching:
                raise PlanError(f"no input or activation with a format matches {pattern!r}{self._suggestion(pattern)}")
            free = {name: fmt for name, fmt in matching.items() if name not in now.locked}
            if not free:
                raise PlanError(f"all {len(matching)} tensors that match {pattern!r} are locked; unlock() them first")
            self._draft(free, continues=False)
        return [name for name, fmt in free.items() if fmt != now.current(name)]

    def propose(
        self,
        word_length: int = 8,
        scheme: str = "mse",
        names: Iterable[str] | None = None,
        *,
        per_channel: bool = False,
        target: "str | Target | None" = None,
        **options: object,
    ) -> dict[str, str]:
        """Draft what a scheme chooses, for the given tensors or for all; locked ones are passed over.

        Parameters
        ----------
        word_length
            In bits.
        scheme
            A name of :data:`qwidgets.schemes.SCHEMES`.
        per_channel
            Whether each output channel of a weight gets a window of its own, where its layer allows that, and a bias
            the step of its accumulator.
        target
            A name of :data:`qwidgets.targets.TARGETS` whose rules are kept: words no longer than it has, its signs,
            its rounding, a window per channel only where it takes one.
        options
            What the scheme takes beside that, such as ``signed=True`` or ``percentile=99.9``.

        Returns
        -------
        The tensors that got no draft because the target cannot have them, each with the reason.

        Raises
        ------
        PlanError
            There is no such scheme or target, or a tensor's name is unknown.
        """
        with self._guard:
            chosen = list(self._rows) if names is None else [self._known(name) for name in names]
            calibration = self._calibrated()
            if target is not None:
                from qwidgets import targets

                fitting, left_out = targets.propose(
                    self, calibration, target, chosen, word_length, scheme, per_channel, options
                )
                self._draft(fitting, continues=False)
                return left_out
            proposed = {
                name: schemes.propose(scheme, calibration, self._rows[name], word_length, per_channel, **options)
                for name in chosen
                if name not in self._timeline.now.locked
            }
            self._draft(proposed, continues=False)
        return {}

    # Steps

    def commit(self, note: str = "") -> Commit:
        """Make the drafts the formats that count, and write that into the history.

        Raises
        ------
        PlanError
            There is no draft.
        """
        with self._guard:
            now = self._timeline.now
            if not now.drafts:
                raise PlanError("there is nothing to commit: no format was changed since the last commit")
            entry = Commit.now(note, {name: (now.committed[name], fmt) for name, fmt in now.drafts.items()})
            committed = {**now.committed, **now.drafts}
            self._step(dataclasses.replace(now, committed=committed, drafts={}, history=(*now.history, entry)))
        self._tell("commit", entry.changes)
        return entry

    def revert(self, name: str | None = None) -> None:
        """Drop the draft of one tensor, or all drafts but those of locked tensors."""
        with self._guard:
            now = self._timeline.now
            if name is not None:
                self._unlocked(self._known(name))
            dropped = {n for n in now.drafts if (n not in now.locked if name is None else n == name)}
            if not dropped:
                return
            kept = {n: fmt for n, fmt in now.drafts.items() if n not in dropped}
            self._step(dataclasses.replace(now, drafts=kept))
        self._tell("revert", dropped)

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

    # Steps that look at the network

    def equalize(self, data: Iterable[Any], model: "nn.Module | None" = None, **how: Any) -> Commit | None:
        """Scale the channels of activations so that each uses its tensor's whole window; the network stays the same.

        Weights, biases and clamps are scaled to match, exactly, and the windows of what changed are chosen anew. The
        tensors, their histograms and previews are the scaled ones from then on.

        Parameters
        ----------
        data
            Batches, as for :func:`qwidgets.calibrate`. What they reach bounds the factors.
        model
            The network that the plan is of, where it is not the one that was calibrated just now (:attr:`model`). It is
            not changed, neither here nor by the steps below.
        how
            ``progress=False`` shows no bar, and a function instead is told what is done, how many steps of it are over
            and how many there are; ``stop``, a function that is asked now and then, ends the step by giving True.

        Returns
        -------
        The entry of the history; None if it was stopped, and then, as after any error, the plan is as it was. It is one
        step for undo, as are the next two.

        Raises
        ------
        PlanError
            There are drafts, or the plan is of another network, or does not know its own.
        DataError
            The data cannot be fed to the network.
        """
        from qwidgets.adjusting.equalization import equalize

        return self._adjust("equalized", equalize, data, model, **how)

    def correct_bias(self, data: Iterable[Any], model: "nn.Module | None" = None, **how: Any) -> Commit | None:
        """Take what quantization adds to each output channel on the average over the data off the biases.

        See :meth:`equalize` for the arguments and errors.
        """
        from qwidgets.adjusting.bias_correction import correct_bias

        return self._adjust("biases corrected", correct_bias, data, model, **how)

    def round_adaptively(self, data: Iterable[Any], model: "nn.Module | None" = None, **how: Any) -> Commit | None:
        """Round each weight up or down so that its layer's output over the data is kept, and correct the biases.

        A weight keeps this rounding as long as it has the format that it was made for. See :meth:`equalize` for the
        arguments and errors.
        """
        from qwidgets.adjusting.adaptive_rounding import round_adaptively

        return self._adjust("weights rounded adaptively", round_adaptively, data, model, **how)

    def search(
        self,
        data: Iterable[Any],
        budget: int | None = None,
        model: "nn.Module | None" = None,
        *,
        progress: bool | Told = True,
        stop: Callable[[], bool] | None = None,
    ) -> Mapping[str, Format] | None:
        """Draft windows by what they do to the network's output and, under a budget, a word length for each weight.

        The module :mod:`qwidgets.adjusting.search` tells how. What it finds are drafts, one step for undo: look at
        them, then commit or revert. Locked tensors, those in float and biases at accumulators stay as they are, and so
        do the adjustments; but a weight that gets another format is rounded to nearest again, so search first, then
        :meth:`round_adaptively`.

        Parameters
        ----------
        data
            Batches, as for :func:`qwidgets.calibrate`; they are kept in memory. Without a budget, and with one that
            the present formats meet, the SQNR of the outputs over them is never lower afterwards.
        budget
            Bytes of all weights and biases, packed at their word lengths, as :func:`qwidgets.validate` counts them;
            without one the word lengths stay.
        model
            See :meth:`equalize`.
        progress
            Whether to show a bar, or who is told instead; see :meth:`equalize`.
        stop
            Asked now and then; by giving True it ends the search, and the plan is as it was.

        Returns
        -------
        What was drafted, nothing where nothing is better; None if it was stopped.

        Raises
        ------
        PlanError
            There are drafts, or there is nothing to search for, or the budget cannot be met: the text tells the least.
            Or the plan is of another network, or does not know its own.
        DataError
            The data cannot be fed to the network.
        """
        from qwidgets.adjusting.search import search

        start = self._without_drafts()
        try:
            found = search(self.network_of(model), self, data, Progress(progress, stop), budget)
        except Stopped:
            return None
        with self._guard:
            self._still(start)
            self._draft(found, continues=False)
        return found

    # Questions

    def preview(self, name: str, fmt: NumberFormat | None = None) -> Preview | None:
        """What a format would do to a tensor: ``fmt``, or else the one that the plan has for it now.

        Returns
        -------
        None where the tensor stays in float, or takes its step from its layer's accumulator.
        """
        fmt = self[name] if fmt is None else fmt
        return None if fmt is None else self._previews.of(self._calibrated(), self._known(name), fmt)

    def committed_preview(self, name: str) -> Preview | None:
        """As :meth:`preview`, for the committed format."""
        fmt = self._timeline.now.committed[self._known(name)]
        return None if fmt is None else self._previews.of(self._calibrated(), name, fmt)

    def channels(
        self, name: str, fmt: FixedPoint | PerChannel | None = None, only: Sequence[int] | None = None
    ) -> pd.DataFrame:
        """What a format does to each output channel of a weight: ``fmt``, or else the one that the plan has for it now.

        Parameters
        ----------
        only
            The channels to tell of; all if None.

        Returns
        -------
        Indexed by ``channel``: ``window``, ``msb``, ``lsb``, ``count``, ``underflow``, ``overflow``, ``mse``,
        ``sqnr_db``, ``max_error``, all exact.

        Raises
        ------
        PlanError
            The tensor has no such channels, or stays in float.
        CalibrationError
            The calibration does not know the weight's values.
        """
        reason = plan_formats.why_not_per_channel(self._rows[self._known(name)])
        looked_at = self[name] if fmt is None else fmt
        if reason or not isinstance(looked_at, FixedPoint | PerChannel):
            raise PlanError(f"{name!r} cannot be looked at by channel: {reason or 'it stays in float'}")
        return channel_counts.effects(self._calibrated().values(name), looked_at, only)

    def table(self, names: Iterable[str] | None = None) -> pd.DataFrame:
        """A row per tensor, or per tensor that is named: its format with its counts, and beside it what is committed.

        Counts are values, ``…_percent`` is of all values of the tensor, ``sqnr_db`` is estimated from the histogram,
        and where ``exact`` is False underflow and overflow are upper bounds. ``state`` is made of the words draft,
        locked and float, ``adjusted`` of equalized, bias corrected and rounded: see :meth:`equalize` and what follows.
        """
        return plan_table.table(self, self.names if names is None else map(self._known, names))

    def check(self, target: "str | Target", model: "nn.Module | None" = None) -> pd.DataFrame:
        """Every tensor that a target cannot take as it is now, a row for each reason, with the remedy.

        See :func:`qwidgets.targets.check`.
        """
        from qwidgets.targets import check

        return check(self, target, model)

    def report(self, path: str | os.PathLike[str], validation: pd.DataFrame | None = None) -> None:
        """Write the committed formats and what they do as one page to read, print and attach to a review.

        See :func:`qwidgets.export.report.write`.
        """
        from qwidgets.export.report import write

        write(self, path, validation)

    def diff(self, other: "Plan") -> pd.DataFrame:
        """The tensors whose formats (drafts counted) another plan has otherwise, as text: ``this``, ``other``."""
        return plan_table.diff(self, other)

    def copy(self) -> "Plan":
        """Give a plan of its own with the same formats, drafts, locks and history, to try something out on.

        What is done to one does not show in the other; neither has anything to undo that the other did before.

        Examples
        --------
        What a draft does to the network, while the plan itself stays as it is:

        >>> import torch
        >>> from qwidgets import calibrate, validate
        >>> layer, x = torch.nn.Sequential(torch.nn.Linear(4, 2)), torch.randn(8, 4)
        >>> plan = calibrate(layer, [x], progress=False).propose(word_length=8)
        >>> plan["0.weight"] = "2^5 … 2^-2"
        >>> trial = plan.copy()
        >>> _ = trial.commit()
        >>> str(validate(layer, trial, [x]).loc["0.weight", "format"]), list(plan.drafts)
        ('2^5 … 2^-2', ['0.weight'])
        """
        twin = type(self).__new__(type(self))
        super(Plan, twin).__init__()
        twin._assemble(self._calibration, self.network, self.digest, self.rows, self._timeline.now)
        return twin

    def _repr_html_(self) -> str:
        return plan_table.table(self, self.names).to_html(escape=True, max_rows=20)

    # Files

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write formats, drafts, locks and history as JSON; an existing file stays whole until the new one is.

        Raises
        ------
        FileError
            The file cannot be written.
        """
        plan_file.write(Path(path), self.network, self.digest, self._rows, self._timeline.now)

    @classmethod
    def load(cls, path: str | os.PathLike[str], calibration: "Calibration | None" = None) -> "Plan":
        """Read a plan that was saved. Without a calibration it knows the formats but can preview nothing.

        Raises
        ------
        FileError
            The file cannot be read, is damaged, or is no plan.
        PlanError
            The plan belongs to another network than the calibration: what does not fit is named.
        """
        content = plan_file.read(Path(path))
        plan = cls.__new__(cls)
        super(Plan, plan).__init__()
        if calibration is None:
            plan._assemble(None, content.network, content.digest, content.rows, content.snapshot)
        else:
            content.check_fits(calibration.network, calibration.rows)
            plan._assemble(
                calibration,
                calibration.network,
                calibration.digest,
                calibration.rows,
                content.snapshot_for(calibration),
            )
        return plan

    def open(self, path: str | os.PathLike[str]) -> None:
        """Take over the formats, drafts, locks and history of a saved plan: one step, which undo takes back.

        Raises
        ------
        FileError, PlanError
            As for :meth:`load`; the plan is then as it was.
        """
        content = plan_file.read(Path(path))
        content.check_fits(self.network, self.rows)
        with self._guard:
            self._step(content.snapshot_for(self._calibration))
        self._tell("open", self._rows)

    # Behind it

    def _known(self, name: str) -> str:
        if name not in self._rows:
            raise PlanError(f"the network {self.network} has no tensor {name!r}{self._suggestion(str(name))}")
        return name

    def _suggestion(self, name: str) -> str:
        close = difflib.get_close_matches(name, self._rows, n=3, cutoff=0.4)
        return f"; did you mean {' or '.join(map(repr, close))}?" if close else "; plan.names lists all"

    def _unlocked(self, name: str) -> str:
        if name in self._timeline.now.locked:
            raise PlanError(f"{name!r} is locked; plan.unlock({name!r}) frees it")
        return name

    def _calibrated(self) -> "Calibration":
        if self.calibration is None:
            raise PlanError("this plan has no calibration to ask; Plan.load(path, calibration) gives it one")
        return self.calibration

    def network_of(self, model: "nn.Module | None" = None) -> "nn.Module":
        """Give the model, or else the one that was calibrated.

        Raises
        ------
        PlanError
            Neither is known.
        """
        found = self.model if model is None else model
        if found is None:
            raise PlanError("this plan came from a file and does not know its network; say which: model=...")
        return found

    def _draft(self, formats: Mapping[str, NumberFormat | str | None], *, continues: bool) -> None:
        parsed = {name: plan_formats.read(self._rows[self._known(name)], fmt) for name, fmt in formats.items()}
        with self._guard:
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
        self._tell("draft", changed)

    def _adjust(
        self,
        note: str,
        work: Callable[["nn.Module", "Plan", Iterable[Any], Progress], "Adjusted"],
        data: Iterable[Any],
        model: "nn.Module | None",
        progress: bool | Told = True,
        stop: Callable[[], bool] | None = None,
    ) -> Commit | None:
        start = self._without_drafts()
        try:
            done = work(self.network_of(model), self, data, Progress(progress, stop))
        except Stopped:
            return None
        with self._guard:
            self._still(start)
            entry = Commit.now(note, {name: (start.committed[name], fmt) for name, fmt in done.formats.items()})
            committed = {**start.committed, **done.formats}
            self._step(Snapshot(committed, {}, start.locked, (*start.history, entry), done.adjustments))
        self._tell("commit", self._rows)
        return entry

    def _without_drafts(self) -> Snapshot:
        """Give the present state, which a step that looks at the network goes out from."""
        if self._timeline.now.drafts:
            raise PlanError(f"{len(self.drafts)} drafts are not committed; commit() or revert() them first")
        return self._timeline.now

    def _still(self, start: Snapshot) -> None:
        """Refuse what was found for a state that is no more."""
        if self._timeline.now is not start:
            raise PlanError("the plan was changed while it was being adjusted; do the step again")

    def _relock(self, names: tuple[str, ...], change: Callable[[frozenset[str]], frozenset[str]]) -> None:
        with self._guard:
            for name in names:
                self._known(name)
            locked = change(self._timeline.now.locked)
            if locked == self._timeline.now.locked:
                return
            self._step(dataclasses.replace(self._timeline.now, locked=locked))
        self._tell("lock", names)

    def _step(self, following: Snapshot) -> None:
        self._timeline.step(following)
        self._last_draft = frozenset()

    def _travel(self, kind: Literal["undo", "redo"], move: Callable[[], None]) -> None:
        with self._guard:
            before = self._timeline.now
            move()
            self._last_draft = frozenset()
            moved = before.differing(self._timeline.now)
        self._tell(kind, moved)

    def _tell(self, kind: ChangeKind, names: Iterable[str]) -> None:
        revision = self.change.revision + 1 if self.change else 1
        self.set_trait("change", Change(kind, frozenset(names), revision))
