"""The person's handle on the formats of a network: drafted, previewed, committed, taken back, and all that mends them.

What a plan knows, and how it changes, is in :class:`qwidgets.tuning.PlanState`; here are the verbs that use the rooms
above the state: schemes and targets propose, steps look at the network, targets check, a report is written.
"""

import os
from collections.abc import Callable, Iterable
from typing import Any

import pandas as pd
from torch import nn

from qwidgets import export, schemes, targets
from qwidgets.calibration import Calibration
from qwidgets.errors import PlanError
from qwidgets.plan.stepped_plan import SteppedPlan
from qwidgets.progress import OnProgress
from qwidgets.remedies import Findings, Remedy, find_remedies
from qwidgets.targets import Target
from qwidgets.tuning import ACCUMULATOR_BITS, Commit, check_width, leave_room
from qwidgets.validation import Metric


class Plan(SteppedPlan):
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

    # Proposals

    def propose(
        self,
        word_length: int = 8,
        scheme: str = "mse",
        names: Iterable[str] | None = None,
        *,
        per_channel: bool = False,
        target: str | Target | None = None,
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
        check_width(accumulator_bits)
        with self._changing():
            chosen = list(self._rows) if names is None else [self._known(name) for name in names]
            calibration = self._calibrated()
            if target is not None:
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
            self._room = leave_room(calibration, formats, proposed, accumulator_bits)
            self._draft({**proposed, **self._room.formats}, continues=False)
        return {}

    # What to do next

    def remedies(
        self,
        data: Iterable[Any],
        model: nn.Module | None = None,
        metric: Metric | None = None,
        *,
        names: Iterable[str] | None = None,
        learn_from: Iterable[Any] | None = None,
        target: str | Target | None = None,
        progress: bool | OnProgress = True,
        stop: Callable[[], bool] | None = None,
        on_found: Callable[[Findings], object] | None = None,
    ) -> Findings:
        """Find out which tensors cost the output most, why, and what would mend that, by trying it.

        It changes nothing: :meth:`take` does what a remedy says. Drafts do not count. Nearly all of it is one part of
        the network run anew for each thing that is tried.

        Parameters
        ----------
        data
            Batches to judge by, as for :func:`qwidgets.validate`, that no step has seen; a few dozen samples will do.
        model
            See :meth:`equalize`.
        metric
            As for :func:`qwidgets.validate`.
        names
            The tensors to look at. Without them it is those that a run side by side puts under suspicion, the dearest
            first, and then the network as a whole.
        learn_from
            Batches for the steps, as for :meth:`equalize`. With them each step is tried, too, which may take as long
            as the step itself.
        target
            A name of :data:`qwidgets.targets.TARGETS`: a remedy says what of its rules it breaks.
        progress, stop
            See :meth:`equalize`. Stopped, it gives what was found by then.
        on_found
            Called with what is known so far, each time that is more.

        Raises
        ------
        PlanError
            The plan is of another network, does not know its own, or has no tensor of such a name; or there is no such
            target.
        DataError
            There is no batch, or one cannot be read or fed, or the metric raises or gives no number.

        Examples
        --------
        >>> from qwidgets import calibrate
        >>> from qwidgets.examples import digits
        >>> example = digits()
        >>> plan = calibrate(example.model, example.calibration, progress=False).propose()
        >>> plan["stem.0.weight"] = "2^5 … 2^-1"
        >>> note = plan.commit("far too high")
        >>> worst = plan.remedies([next(iter(example.test))], progress=False)[0]
        >>> worst.row, worst.causes[0].name, worst.remedies[0].title
        ('stem.0.weight', 'wrong_window', 'window 2^1 … 2^-5')
        >>> plan.take(worst.remedies[0])
        >>> plan.drafts["stem.0.weight"].window
        '2^1 … 2^-5'
        """
        network = self.network_of(model)
        return find_remedies(
            network,
            self,
            data,
            metric,
            names=names,
            learn_from=learn_from,
            target=target,
            progress=progress,
            stop=stop,
            on_found=on_found,
        )

    def take(self, remedy: Remedy) -> Commit | None:
        """Draft the formats of a remedy or, where it is a step, commit what that found: one step for :meth:`undo`.

        Raises
        ------
        PlanError
            One of its tensors is locked; or it is a step, and was found for other formats than are committed now, or
            there are drafts.
        """
        with self._changing():
            if remedy.found is None:
                self._draft(remedy.formats, continues=False)
                return None
            self._without_drafts()
            if not remedy.holds_for(self):
                raise PlanError(f"{remedy.title!r} was found for other formats than are committed now; look again")
            return self.adjust(remedy.found.formats, remedy.found.adjustments, f"{remedy.title}: {remedy.found.judged}")

    def put_back(self, remedy: Remedy) -> None:
        """Draft what the tensors of a remedy had before it, those that still have what it gave them; undoable, too.

        Raises
        ------
        PlanError
            None of them has, or one is locked; or it is a step, which :meth:`undo` takes back.
        """
        with self._changing():
            if remedy.found is not None:
                raise PlanError(f"{remedy.title!r} is a step; undo() takes it back")
            there = {name: remedy.before[name] for name, fmt in remedy.formats.items() if self[name] == fmt}
            if not there:
                raise PlanError(f"{remedy.title!r} is not what these tensors have now; there is nothing to put back")
            self._draft(there, continues=False)

    # For others

    def check(self, target: str | Target, model: nn.Module | None = None) -> pd.DataFrame:
        """Every tensor that a target cannot take as it is now, a row for each reason, with the remedy.

        See :func:`qwidgets.targets.check`.
        """
        return targets.check(self, target, model)

    def report(
        self,
        path: str | os.PathLike[str],
        validation: pd.DataFrame | None = None,
        remedies: Findings | None = None,
    ) -> None:
        """Write the committed formats and what they do as one page to read, print and attach to a review.

        See :func:`qwidgets.export.report.write`.
        """
        export.write(self, path, validation, remedies)


def _proposed(calibration: Calibration, word_length: int, scheme: str, **options: Any) -> Plan:
    """Give a plan of the formats that a scheme proposes, committed, for `Calibration.propose`."""
    plan = Plan(calibration)
    plan.propose(word_length=word_length, scheme=scheme, **options)
    target = options.get("target")
    suffix = f", for {getattr(target, 'name', target)}" if target else ""
    coarser = f"; {plan.room}" if plan.room.formats else ""
    masking = [] if target else [name for name in plan if plan[name] is None]
    kept = f"; in float, since they mask: {', '.join(masking)}" if masking else ""
    plan.commit(note=f"{scheme}, {word_length} bits{suffix}{coarser}{kept}")
    return plan


Calibration.planner = _proposed
