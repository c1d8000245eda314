"""What a plan knows: the formats of a network's tensors over the statistics of these tensors.

A :class:`PlanState` is the only owner of formats. It answers from the histograms of a calibration, and is read, copied,
saved and loaded. The rooms that do something with a plan take one of these; what a person does with it is
:class:`qwidgets.plan.Plan`.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Self

import pandas as pd
from torch import nn

from qwidgets.calibration import Calibration
from qwidgets.errors import PlanError
from qwidgets.formats import ACCUMULATOR, FixedPoint, PerChannel
from qwidgets.histograms import Preview
from qwidgets.network import Row
from qwidgets.tuning import channel_counts, plan_file, plan_formats, plan_table
from qwidgets.tuning.accumulator_room import Room
from qwidgets.tuning.adjustments import Adjustments
from qwidgets.tuning.format_state import FormatState
from qwidgets.tuning.plan_previews import Previews
from qwidgets.tuning.snapshot import ChangeKind, Commit, Format, NumberFormat, Snapshot


class PlanState(FormatState):
    """The formats of every tensor of a calibrated network.

    Parameters
    ----------
    calibration
        The statistics of the network's tensors. Every tensor begins in floating point.
    """

    def __init__(self, calibration: Calibration) -> None:
        Calibration.require(calibration)
        start = Snapshot(dict.fromkeys(row.name for row in calibration.rows))
        self._assemble(calibration, calibration.network, calibration.digest, calibration.rows, start)

    def _assemble(
        self, calibration: Calibration | None, network: str, digest: str, rows: tuple[Row, ...], start: Snapshot
    ) -> None:
        super().__init__(network, rows, start)
        self._calibration = calibration
        self.digest = digest
        self._previews = Previews()
        self._room = Room()

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
    def model(self) -> nn.Module | None:
        """The network that was calibrated; None where the statistics came from a file."""
        return self._calibration.model if self._calibration else None

    def network_of(self, model: nn.Module | None = None) -> nn.Module:
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

    @property
    def room(self) -> Room:
        """What the last :meth:`propose` made coarser than its scheme chose, so that sums fit their accumulators.

        ``str()`` of it says how many formats, and which width of the accumulators would leave them as they are.
        """
        return self._room

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

    def diff(self, other: "PlanState") -> pd.DataFrame:
        """The tensors whose formats (drafts counted) another plan has otherwise, as text: ``this``, ``other``."""
        return plan_table.diff(self, other)

    def _repr_html_(self) -> str:
        return plan_table.table(self, self.names)._repr_html_()

    def adjust(self, formats: Mapping[str, Format], adjustments: Adjustments, note: str) -> Commit:
        """Commit other numbers, and the formats that go with them: what a step found.

        Returns
        -------
        The entry of the history. It is one step for undo.
        """
        with self._changing():
            now = self._timeline.now
            entry = Commit.now(note, {name: (now.committed[name], fmt) for name, fmt in formats.items()})
            committed = {**now.committed, **formats}
            self._step(Snapshot(committed, {}, now.locked, (*now.history, entry), adjustments))
            self._notify("commit", self._rows)
        return entry

    # Copies and files

    def copy(self) -> Self:
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
    def load(cls, path: str | os.PathLike[str], calibration: Calibration | None = None) -> Self:
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
            self._notify("open", self._rows)

    # Behind it

    def _notify(self, kind: ChangeKind, names: Iterable[str]) -> None:
        """Name also the biases at accumulators whose step moves with what was changed: views show their figures."""
        changed = set(names)
        sums = self.calibration.sums if self.calibration else ()
        moved = {each.bias for each in sums if each.bias and changed & {each.weight, *each.reads}}
        super()._notify(kind, changed | {bias for bias in moved if self[bias] == ACCUMULATOR})

    def _calibrated(self) -> Calibration:
        if self.calibration is None:
            raise PlanError("this plan has no calibration to ask; Plan.load(path, calibration) gives it one")
        return self.calibration
