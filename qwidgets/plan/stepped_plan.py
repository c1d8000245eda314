"""A plan with the steps that look at its network: each is one entry of its history, or gives drafts.

What a step does is in :mod:`qwidgets.adjusting`; here it is done to a plan.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from torch import nn

from qwidgets.adjusting import Drafted, FakeQuantized, Unchanged, find_step
from qwidgets.errors import PlanError
from qwidgets.progress import OnProgress, Progress, Stopped
from qwidgets.tuning import Commit, Format, PlanState, Snapshot
from qwidgets.user_warning import warn_user


class SteppedPlan(PlanState):
    """What a plan knows, and the steps that change it by looking at the network."""

    _found: Drafted | None = None
    """What the last step drafted."""

    def commit(self, note: str = "") -> Commit:
        """Make the drafts the formats that count, and write that into the history.

        Where they are what :meth:`search` has found, the note says, too, what that does to the network.

        Raises
        ------
        PlanError
            There is no draft.
        """
        with self._changing():
            if self._found is not None and dict(self.drafts) == dict(self._found.formats):
                note = f"{note}; {self._found.judged}" if note else self._found.judged
            self._found = None
            return super().commit(note)

    def equalize(self, data: Iterable[Any], model: nn.Module | None = None, **how: Any) -> Commit | None:
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
            ``progress=False`` shows no bar, and a function instead is called with what is done, how many steps of it
            are over and how many there are; ``stop``, a function that is asked now and then, ends the step by giving
            True; ``on_unchanged``, a function, is called with the reason where nothing is changed, not a warning.

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
        return cast(Commit | None, self.step("equalize", data, model, **how))

    def correct_bias(self, data: Iterable[Any], model: nn.Module | None = None, **how: Any) -> Commit | None:
        """Take what quantization adds to each output channel on the average over the data off the biases.

        A channel keeps its bias where the layer's output on the data that are kept aside is nearer to float with it.
        See :meth:`equalize` for the arguments and errors.
        """
        return cast(Commit | None, self.step("correct_bias", data, model, **how))

    def round_adaptively(self, data: Iterable[Any], model: nn.Module | None = None, **how: Any) -> Commit | None:
        """Round each weight up or down so that its layer's output over the data is kept, and correct the biases.

        A weight keeps the rounding that it has where its layer's output on the data that are kept aside is nearer to
        float with it; else it has the new one as long as it has the format that this was made for. See
        :meth:`equalize` for the arguments and errors.
        """
        return cast(Commit | None, self.step("round_adaptively", data, model, **how))

    def fine_tune(self, data: Iterable[Any], model: nn.Module | None = None, **how: Any) -> Commit | None:
        """Learn the weights and biases inside their windows, so that the network's outputs follow those in float.

        It needs no labels; with ``loss`` it learns that instead. No window moves but with ``windows=True``. What was
        learned are codes of the formats: a weight has them as long as it has the format that they were learned for.
        Stopped, it keeps the best that it has judged so far on the data that are kept aside. See :meth:`equalize` for
        the arguments and errors; there are more.

        Parameters
        ----------
        how
            ``epochs``: how often the data are gone over, 40 times where it is not given. ``loss``, a function that is
            called as ``loss(outputs, targets)`` and gives a tensor of one number: it is made less, and judged by its
            mean on the data that are kept aside. Targets are what batches hold beside the network's inputs, as for
            :func:`qwidgets.validate`. ``windows=True``: the windows of weights, inputs and activations move, too, by up
            to 4 bits, each where the gradient of its threshold leads it.

        Examples
        --------
        >>> from qwidgets import calibrate
        >>> from qwidgets.examples import digits
        >>> example = digits()
        >>> plan = calibrate(example.model, example.calibration, progress=False).propose(4)
        >>> plan.fine_tune(example.calibration, progress=False, epochs=10).note[:24]
        'fine-tuned: output SQNR '
        """
        return cast(Commit | None, self.step("fine_tune", data, model, **how))

    def mend(self, data: Iterable[Any], model: nn.Module | None = None, **how: Any) -> Commit | None:
        """Do what helps of the steps above, one after the other: equalize, correct, round adaptively, fine-tune.

        It is one entry of the history and one step for undo. Stopped, or when its time is over, it keeps what was done
        by then. See :meth:`equalize` for the arguments and errors; there is one more.

        Parameters
        ----------
        how
            ``budget_s``: after so many seconds it comes to its end; without it, it takes as long as it takes.

        Examples
        --------
        >>> from qwidgets import calibrate
        >>> from qwidgets.examples import digits
        >>> example = digits()
        >>> plan = calibrate(example.model, example.calibration, progress=False).propose(4)
        >>> plan.mend(example.calibration, progress=False, budget_s=60).note  # doctest: +ELLIPSIS
        'mended: ...; output SQNR ... -> ... dB on 128 samples kept aside'
        """
        return cast(Commit | None, self.step("mend", data, model, **how))

    def search(
        self,
        data: Iterable[Any],
        budget: int | None = None,
        model: nn.Module | None = None,
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
            Whether to show a bar, or a function that is called instead; see :meth:`equalize`.
        stop
            Asked now and then; by giving True it ends the search, and the plan is as it was.

        Returns
        -------
        What was drafted, nothing where nothing is better; None if it was stopped.

        Raises
        ------
        PlanError
            There are drafts, or there is nothing to search for, or the budget cannot be met: the text says the least.
            Or the plan is of another network, or does not know its own.
        DataError
            The data cannot be fed to the network, or are a single sample, of which nothing can be kept aside.
        """
        found = self.step("search", data, model, progress=progress, stop=stop, budget=budget)
        return cast(Mapping[str, Format] | None, found)

    def take_weights(self, module: nn.Module, note: str = "weights trained") -> Commit | None:
        """Put the weights and biases that were trained into the plan: one step for undo, in its file and every export.

        Formats stay. A weight has its trained codes as long as it has the format that they were trained for.

        Parameters
        ----------
        module
            What :func:`qwidgets.fake_quantized` gave for this plan. What it computes is then what
            :func:`qwidgets.quantize` gives for the plan, bit for bit.
        note
            What the history says of it.

        Returns
        -------
        The entry of the history; None where nothing was trained.

        Raises
        ------
        PlanError
            There are drafts, or the module is of another kind, or was made for another state of the plan; or a value is
            not finite. The plan is then as it was.
        """
        if not isinstance(module, FakeQuantized):
            raise PlanError(
                f"weights are taken from what fake_quantized(plan) gave, not from a {type(module).__name__}"
            )
        with self._changing():
            self._without_drafts()
            found = module.adjustments(self)
            return None if found is None else self.adjust({}, found, note)

    def step(
        self,
        name: str,
        data: Iterable[Any],
        model: nn.Module | None = None,
        *,
        progress: bool | OnProgress = True,
        stop: Callable[[], bool] | None = None,
        on_unchanged: Callable[[str], object] = warn_user,
        **options: Any,
    ) -> Commit | Mapping[str, Format] | None:
        """Do a step that is registered: what it finds is committed or, where it gives drafts, drafted.

        Parameters
        ----------
        name
            One of :data:`qwidgets.adjusting.STEPS`; :func:`qwidgets.register_step` adds to them.
        data, model, progress, stop, on_unchanged
            See :meth:`equalize`.
        options
            What the step takes beside that.

        Returns
        -------
        The entry of the history, or the drafts; None if nothing is better, or the step was stopped.

        Raises
        ------
        PlanError
            There is no such step, or there are drafts, or the plan is of another network, or does not know its own.
        DataError
            The data cannot be fed to the network, or are a single sample, of which nothing can be kept aside.
        """
        step, start = find_step(name), self._without_drafts()
        try:
            done = step.run(self.network_of(model), self, data, Progress(progress, stop), **options)
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
            if isinstance(done, Drafted):
                self._draft(done.formats, continues=False)
                self._found = done
                return done.formats
            return self.adjust(done.formats, done.adjustments, f"{step.note}: {done.judged}")

    # Behind it

    def _without_drafts(self) -> Snapshot:
        """Give the present state, which a step that looks at the network goes out from."""
        if self._timeline.now.drafts:
            raise PlanError(f"{len(self.drafts)} drafts are not committed; commit() or revert() them first")
        return self._timeline.now

    def _still(self, start: Snapshot) -> None:
        """Refuse what was found for a state that is no more."""
        if self._timeline.now is not start:
            raise PlanError("the plan was changed while it was being adjusted; do the step again")
