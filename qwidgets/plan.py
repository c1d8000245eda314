"""The formats of a network's tensors: drafted, previewed, committed, taken back.

A :class:`Plan` is the only owner of formats. Views observe its ``change`` trait and ask it to change; scripts use the
same methods. It answers from the histograms of a calibration; what has to run the network is loaded when it is asked
for. What is drafted, committed and taken back is in :mod:`qwidgets.tuning.format_state`.
"""

import dataclasses
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from qwidgets import schemes
from qwidgets.calibration import Calibration
from qwidgets.errors import PlanError
from qwidgets.formats import ACCUMULATOR, FixedPoint, PerChannel
from qwidgets.histograms import Preview
from qwidgets.progress import OnProgress, Progress, Stopped
from qwidgets.tuning import (
    ACCUMULATOR_BITS,
    Adjustments,
    ChangeKind,
    Commit,
    Format,
    FormatState,
    NumberFormat,
    Previews,
    Room,
    Snapshot,
    accumulator_room,
    channel_counts,
    plan_file,
    plan_formats,
    plan_table,
)
from qwidgets.user_warning import warn_user

if TYPE_CHECKING:
    from torch import nn

    from qwidgets.network import Row
    from qwidgets.targets import Target


@dataclasses.dataclass(frozen=True)
class Adjusted:
    """What a step that looks at the network gives.

    Attributes
    ----------
    adjustments, formats
        The adjustments after it, and the formats that it changed.
    judged
        What it did to the network on the data that it kept aside, in words.
    """

    adjustments: Adjustments
    formats: Mapping[str, Format]
    judged: str


@dataclasses.dataclass(frozen=True)
class Unchanged:
    """That a step found nothing which would be better, and why, in words."""

    reason: str


class Plan(FormatState):
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

    def __init__(self, calibration: Calibration) -> None:
        Calibration.require(calibration)
        start = Snapshot(dict.fromkeys(row.name for row in calibration.rows))
        self._assemble(calibration, calibration.network, calibration.digest, calibration.rows, start)

    def _assemble(
        self, calibration: Calibration | None, network: str, digest: str, rows: "tuple[Row, ...]", start: Snapshot
    ) -> None:
        super().__init__(network, rows, start)
        self._calibration = calibration
        self.digest = digest
        self._previews = Previews()
        self._room = Room()
        self._searched: tuple[Mapping[str, Format], str] | None = None

    # The network and its statistics

    @property
    def calibration(self) -> Calibration | None:
        """The statistics of the network's tensors, as they are after the :attr:`adjustments`."""
        return self._timeline.now.adjustments.calibration or self._calibration

    @property
    def measured(self) -> Calibration | None:
        """The statistics as they were counted, before any of the :attr:`adjustments`."""
        return self._calibration

    @property
    def model(self) -> "nn.Module | None":
        """The network that was calibrated; None where the statistics came from a file."""
        return self._calibration.model if self._calibration else None

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

    # Proposals

    def propose(
        self,
        word_length: int = 8,
        scheme: str = "mse",
        names: Iterable[str] | None = None,
        *,
        per_channel: bool = False,
        target: "str | Target | None" = None,
        accumulator_bits: int = ACCUMULATOR_BITS,
        **options: object,
    ) -> dict[str, str]:
        """Draft what a scheme chooses, for the given tensors or for all; locked ones are passed over.

        Where the largest sums that these formats can lead to would not fit their accumulators, the windows of weights
        are higher and the words of activations shorter than the scheme has them: see :attr:`room`.

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
        accumulator_bits
            The width of the registers that sums are computed in, as for :func:`qwidgets.quantize`. With long words a
            wide one keeps more accuracy; whoever runs the network must then have it, too.
        options
            What the scheme takes beside that, such as ``signed=True`` or ``percentile=99.9``.

        Returns
        -------
        The tensors that got no draft because the target cannot have them, each with the reason.

        Raises
        ------
        PlanError
            There is no such scheme or target, or a tensor's name is unknown, or no accumulator has that width.
        """
        accumulator_room.check_width(accumulator_bits)
        with self._changing():
            chosen = list(self._rows) if names is None else [self._known(name) for name in names]
            calibration = self._calibrated()
            if target is not None:
                from qwidgets import targets

                fitting, left_out, self._room = targets.propose(
                    self, calibration, target, chosen, word_length, scheme, per_channel, accumulator_bits, options
                )
                self._draft(fitting, continues=False)
                return left_out
            proposed = {
                name: schemes.propose(scheme, calibration, self._rows[name], word_length, per_channel, **options)
                for name in chosen
                if name not in self._timeline.now.locked
            }
            formats = {name: self[name] for name in self} | proposed
            self._room = accumulator_room.leave(calibration, formats, proposed, accumulator_bits)
            self._draft({**proposed, **self._room.formats}, continues=False)
        return {}

    @property
    def room(self) -> Room:
        """What the last :meth:`propose` made coarser than its scheme chose, so that sums fit their accumulators.

        ``str()`` of it says how many formats, and which width of the accumulators would leave them as they are.
        """
        return self._room

    # Steps that look at the network

    def commit(self, note: str = "") -> Commit:
        """Make the drafts the formats that count, and write that into the history.

        Where they are what :meth:`search` has found, the note says, too, what that does to the network.

        Raises
        ------
        PlanError
            There is no draft.
        """
        with self._changing():
            if self._searched is not None and dict(self.drafts) == dict(self._searched[0]):
                note = f"{note}; {self._searched[1]}" if note else self._searched[1]
            self._searched = None
            return super().commit(note)

    def equalize(self, data: Iterable[Any], model: "nn.Module | None" = None, **how: Any) -> Commit | None:
        """Scale the channels of activations so that quiet ones use more of the window; the network stays the same.

        Weights, biases and clamps are scaled to match, exactly, and the windows of what changed are chosen anew. The
        tensors, their histograms and previews are the scaled ones from then on.

        As every step, it keeps part of the data aside, judges itself there, and changes nothing unless the output is
        nearer to float there; its entry of the history says the SQNR of the output there before and after.

        Parameters
        ----------
        data
            Batches, as for :func:`qwidgets.calibrate`. One in four is kept aside or, of fewer than four batches, one
            sample in four, one at least. What the others reach bounds the factors.
        model
            The network that the plan is of, where it is not the one that was calibrated just now (:attr:`model`). It is
            not changed, neither here nor by the steps below.
        how
            ``progress=False`` shows no bar, and a function instead is told what is done, how many steps of it are over
            and how many there are; ``stop``, a function that is asked now and then, ends the step by giving True;
            ``on_unchanged``, a function, is called with the reason where nothing is changed, in the place of a warning.

        Returns
        -------
        The entry of the history; None if nothing is better than what is there, or the step was stopped, and then, as
        after any error, the plan is as it was. Unless it was stopped it is one step for undo, as are the next two.

        Raises
        ------
        PlanError
            There are drafts, or the plan is of another network, or does not know its own.
        DataError
            The data cannot be fed to the network, or are a single sample, of which nothing can be kept aside.
        """
        from qwidgets.adjusting import equalize

        return self._adjust("equalized", equalize, data, model, **how)

    def correct_bias(self, data: Iterable[Any], model: "nn.Module | None" = None, **how: Any) -> Commit | None:
        """Take what quantization adds to each output channel on the average over the data off the biases.

        A channel keeps its bias where the layer's output on the data that are kept aside is nearer to float with it.
        See :meth:`equalize` for the arguments and errors.
        """
        from qwidgets.adjusting import correct_bias

        return self._adjust("biases corrected", correct_bias, data, model, **how)

    def round_adaptively(self, data: Iterable[Any], model: "nn.Module | None" = None, **how: Any) -> Commit | None:
        """Round each weight up or down so that its layer's output over the data is kept, and correct the biases.

        A weight keeps the rounding that it has where its layer's output on the data that are kept aside is nearer to
        float with it; else it has the new one as long as it has the format that this was made for. See
        :meth:`equalize` for the arguments and errors.
        """
        from qwidgets.adjusting import round_adaptively

        return self._adjust("weights rounded adaptively", round_adaptively, data, model, **how)

    def search(
        self,
        data: Iterable[Any],
        budget: int | None = None,
        model: "nn.Module | None" = None,
        *,
        progress: bool | OnProgress = True,
        stop: Callable[[], bool] | None = None,
    ) -> Mapping[str, Format] | None:
        """Draft windows by what they do to the network's output and, under a budget, a word length for each weight.

        What it finds are drafts, one step for undo: look at
        them, then commit or revert. Locked tensors, those in float and biases at accumulators stay as they are, and so
        do the adjustments; but a weight that gets another format is rounded to nearest again, so search first, then
        :meth:`round_adaptively`.

        Parameters
        ----------
        data
            Batches, as for :func:`qwidgets.calibrate`; they are kept in memory. One in four is kept aside, as by
            :meth:`equalize`, and what does not help there, too, is not done. Without a budget, and with one that the
            present formats meet, no output has a lower SQNR afterwards, neither over these batches nor over the others.
            What it was there before and after goes into the history with the commit.
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
            The data cannot be fed to the network, or are a single sample, of which nothing can be kept aside.
        """
        from qwidgets.adjusting import search

        start = self._without_drafts()
        try:
            found = search(self.network_of(model), self, data, Progress(progress, stop), budget)
        except Stopped:
            return None
        with self._changing():
            self._still(start)
            self._draft(found.formats, continues=False)
            self._searched = (found.formats, found.judged)
        return found.formats

    # Questions

    def preview(self, name: str, fmt: NumberFormat | str | None = None) -> Preview | None:
        """What a format would do to a tensor: ``fmt``, or else the one that the plan has for it now.

        Returns
        -------
        None where the tensor stays in float. Of a bias at its layer's accumulator, what 32 bits of the step that the
        plan's formats give it would do; None where that is not known.

        Raises
        ------
        FormatError
            As for :meth:`draft`.
        CalibrationError
            Formats per channel are asked for a tensor whose values are not known.
        """
        if fmt is None:
            fmt = self[name]
        elif not isinstance(fmt, PerChannel):  # which a bias cannot be given, and has where its accumulator has it
            fmt = plan_formats.read(self.row(name), fmt)
        if fmt is None:
            return None
        return self._previews.of(self._calibrated(), self._known(name), fmt, self._timeline.now.current)

    def committed_preview(self, name: str) -> Preview | None:
        """As :meth:`preview`, for the committed format."""
        committed = self._timeline.now.committed
        fmt = committed[self._known(name)]
        return None if fmt is None else self._previews.of(self._calibrated(), name, fmt, committed.__getitem__)

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
        from qwidgets.export import write

        write(self, path, validation)

    def diff(self, other: "Plan") -> pd.DataFrame:
        """The tensors whose formats (drafts counted) another plan has otherwise, as text: ``this``, ``other``."""
        return plan_table.diff(self, other)

    def _repr_html_(self) -> str:
        return plan_table.table(self, self.names).to_html(escape=True, max_rows=20)

    # Copies and files

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
        twin._assemble(self._calibration, self.network, self.digest, self.rows, self._timeline.now)
        return twin

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write formats, drafts, locks and history as JSON; an existing file stays whole until the new one is.

        Raises
        ------
        FileError
            The file cannot be written.
        """
        plan_file.write(path, self.network, self.digest, self._rows, self._timeline.now)

    @classmethod
    def load(cls, path: str | os.PathLike[str], calibration: Calibration | None = None) -> "Plan":
        """Read a plan that was saved. Without a calibration it knows the formats but can preview nothing.

        A file that is not what was saved is refused. Who edits one by hand writes "edited by hand" in the place of its
        checksum: it is then taken as it is, with an `EditedFileWarning`, and the edit is the last entry of the history.

        Raises
        ------
        FileError
            The file cannot be read, is damaged, or is no plan.
        PlanError
            The plan belongs to another network than the calibration: what does not fit is named.
        CalibrationError
            ``calibration`` is none.
        """
        if calibration is not None:
            Calibration.require(calibration)
        content = plan_file.read(path)
        plan = cls.__new__(cls)
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
        content = plan_file.read(path)
        content.check_fits(self.network, self.rows)
        with self._changing():
            self._step(content.snapshot_for(self._calibration))
            self._tell("open", self._rows)

    # Behind it

    def _tell(self, kind: ChangeKind, names: Iterable[str]) -> None:
        """Name also the biases at accumulators whose step moves with what was changed: views show their figures."""
        changed = set(names)
        sums = self.calibration.sums if self.calibration else ()
        moved = {each.bias for each in sums if each.bias and changed & {each.weight, *each.reads}}
        super()._tell(kind, changed | {bias for bias in moved if self[bias] == ACCUMULATOR})

    def _calibrated(self) -> Calibration:
        if self.calibration is None:
            raise PlanError("this plan has no calibration to ask; Plan.load(path, calibration) gives it one")
        return self.calibration

    def _adjust(
        self,
        note: str,
        work: Callable[["nn.Module", "Plan", Iterable[Any], Progress], Adjusted | Unchanged],
        data: Iterable[Any],
        model: "nn.Module | None",
        progress: bool | OnProgress = True,
        stop: Callable[[], bool] | None = None,
        on_unchanged: Callable[[str], object] = warn_user,
    ) -> Commit | None:
        start = self._without_drafts()
        try:
            done = work(self.network_of(model), self, data, Progress(progress, stop))
        except Stopped:
            return None
        if isinstance(done, Unchanged):
            with self._guard:
                self._still(start)
                self._step(start)  # so that undo takes back the step, and not what was done before it
            on_unchanged(f"nothing was changed: {done.reason}")
            return None
        with self._changing():
            self._still(start)
            entry = Commit.now(
                f"{note}: {done.judged}", {name: (start.committed[name], fmt) for name, fmt in done.formats.items()}
            )
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
