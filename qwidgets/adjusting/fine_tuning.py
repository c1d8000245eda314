"""Fine-tuning: weights and biases are learned inside their windows, so that the outputs follow those in float.

No labels are needed: the network in float says what is right. Each output, and with less weight each activation on the
way, is compared with its counterpart there, as a share of that one's power. The windows stay, or are learned, too.

Sources: Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network" (2015), for one network as the teacher
of another; Romero et al., "FitNets" (2014), for a teacher's inner layers.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from qwidgets.adjusting.bias_correction import corrected, counted
from qwidgets.adjusting.kept_aside import Judging, Verdict, divide
from qwidgets.adjusting.learned_network import LearnedNetwork
from qwidgets.adjusting.learned_weights import WIDEST, as_adjustments, begin, learnable
from qwidgets.adjusting.own_loss import Loss, LossJudging, loss_of
from qwidgets.adjusting.step import Adjusted, Step, Unchanged, register_step
from qwidgets.errors import DataError, PlanError
from qwidgets.feeding import Fed
from qwidgets.formats import ACCUMULATOR, FixedPoint, PerChannel
from qwidgets.progress import Progress, Stopped
from qwidgets.simulation import Program, captured, device_of
from qwidgets.tuning import ACCUMULATOR_BITS, Adjustments, Format, PlanState, has_one_accumulator, leave_as_before

EPOCHS = 40
STEPS_A_TURN = 0.02
"""By how many of its steps a weight moves at most at once, to begin with."""

BITS_A_TURN = 0.12
"""By how many bits a window moves at most at once, to begin with."""

WINDOWS_REST = 0.5
"""Windows move in this first part of the course; in the rest the values settle in them."""

ON_THE_WAY = 0.1
"""How much the mean error of the activations counts beside that of the outputs."""

SMALLER = 0.3
"""Where a part of the course leads nowhere, the next begins before it, with steps so much smaller."""

JUDGED = 16
"""So often what was learned is judged on the way; the best is kept."""


def fine_tune(
    model: nn.Module,
    plan: PlanState,
    data: Iterable[Any],
    progress: Progress,
    *,
    loss: Loss | None = None,
    windows: bool = False,
    epochs: int = EPOCHS,
) -> Adjusted | Unchanged:
    """Learn the weights and biases that have formats and are not locked and, if asked for, windows.

    Raises
    ------
    PlanError
        ``epochs`` is not a whole number above zero, or ``windows`` is no truth value.
    DataError
        There is a loss, and a batch has no targets, or the loss raises, or gives no tensor of one number.
    """
    if not isinstance(epochs, int) or isinstance(epochs, bool) or epochs < 1:
        raise PlanError(f"epochs must be a whole number from 1, not {epochs!r:.80}")
    if not isinstance(windows, bool):
        raise PlanError(f"windows must be True or False, not {windows!r:.80}")
    before, original = plan.adjustments, captured(model, plan)
    bare = dataclasses.replace(before, shifts={}).parameters(original.parameters)
    network = before.applied(original)
    formats = Program(network, plan.committed, ACCUMULATOR_BITS).formats
    learned = learnable(network, formats, plan)
    moving = _moving(plan) if windows else frozenset()
    if not learned and not moving:
        return Unchanged(f"no weight or bias has a format of at most {WIDEST} bits and is not locked")
    divided = divide(network, model, data)
    judging = (
        Judging(model, network, plan, divided) if loss is None else LossJudging(model, network, plan, divided, loss)
    )
    with torch.inference_mode(False), torch.enable_grad():
        batches = [
            dataclasses.replace(batch, leaves=[_learnable(leaf) for leaf in batch.leaves]) for batch in divided.seen
        ]
        pupil = LearnedNetwork(network, formats, begin(network, plan), learned, device_of(model), moving)
        if loss is None:
            teacher = LearnedNetwork(network, dict.fromkeys(plan.committed), bare, frozenset(), device_of(model))
            lesson: Lesson = Following(pupil, teacher, batches)
        else:
            lesson = _Lessening(pupil, batches, loss)
        course = Course(pupil, lesson, len(batches))
        best: tuple[Verdict, Adjustments, dict[str, Format]] | None = None
        turns = epochs * len(batches)
        judged_at = {round(turns * (part + 1) / JUDGED) for part in range(JUDGED)}
        try:
            with progress.over(turns, "fine-tune"):
                for turn in range(turns):
                    if not course.learn(1 - turn / turns):
                        return Unchanged("no output has a gradient that leads to a weight or bias")
                    if turn + 1 in judged_at:
                        moved = _moved(pupil, plan)
                        values = {row: pupil.learned(row) for row in pupil.latent}
                        after = as_adjustments(values, network, plan, bare, moved)
                        now = {**plan.committed, **moved}
                        verdict = judging.verdict(corrected(network, original, after), now, after)
                        reached = 0.0 if best is None else best[0].gain
                        if verdict.gain > reached:
                            best = verdict, after, moved
                            course.keep()
                        elif verdict.gain != reached:  # else nothing has moved as far as the next code yet
                            course.go_back()
                    progress.step()
        except Stopped:
            if best is None:
                raise
    if best is None or not best[0].is_sure:
        return Unchanged(f"weights are better as they are: fine-tuned, {best[0] if best else verdict}")
    return Adjusted(counted(plan, original, best[1]), best[2], best[0])


Lesson = Callable[[int], Tensor | None]
"""Gives what is to become less, for the place of a batch; None where nothing of it can be learned from."""


class Course:
    """A pupil that learns, a batch a turn, in steps that become smaller where they lead nowhere.

    Parameters
    ----------
    pupil
        The network that is learned.
    lesson
        Gives, for the place of a batch, what is to become less.
    batches
        How many there are.
    """

    def __init__(self, pupil: LearnedNetwork, lesson: Lesson, batches: int) -> None:
        self._lesson, self._batches = lesson, batches
        self._values, self._windows = list(pupil.latent.values()), list(pupil.windows.values())
        self._latents = [*self._values, *(window.shift for window in self._windows)]
        for latent in self._latents:
            latent.requires_grad_(True)
        self._order = torch.Generator().manual_seed(0)
        self._left: list[int] = []
        self._steps, self._bits = STEPS_A_TURN, BITS_A_TURN
        self.keep()
        self._optimizer = self._begin()

    def learn(self, left: float) -> bool:
        """Take a turn, and say whether there is anything to learn from.

        What is left of the course, from 1 to 0, makes the steps smaller, too. A batch whose error is not finite
        teaches nothing.
        """
        values, windows = self._optimizer.param_groups
        values["lr"] = self._steps * _annealed(left)
        windows["lr"] = self._bits * _annealed(max(left - 1 + WINDOWS_REST, 0) / WINDOWS_REST)
        if not self._left:
            self._left = torch.randperm(self._batches, generator=self._order).tolist()
        difference = self._lesson(self._left.pop())
        if difference is None:
            return False
        if difference.isfinite():
            self._optimizer.zero_grad(set_to_none=True)
            difference.backward()
            self._optimizer.step()
        return True

    def keep(self) -> None:
        """Remember what has been learned."""
        self._kept = [latent.detach().clone() for latent in self._latents]

    def go_back(self) -> None:
        """Return to what was kept, and go on from there in smaller steps: of the windows alone where these moved."""
        moved = [window.format for window in self._windows]
        with torch.no_grad():
            for latent, kept in zip(self._latents, self._kept, strict=True):
                latent.copy_(kept)
        self._bits *= SMALLER
        if moved == [window.format for window in self._windows]:
            self._steps *= SMALLER
        self._optimizer = self._begin()

    def _begin(self) -> torch.optim.Optimizer:
        shifts = [window.shift for window in self._windows]
        return torch.optim.Adam([{"params": self._values}, {"params": shifts}])


def _annealed(left: float) -> float:
    """Give how large steps are, from 1 at the beginning to 0 at the end, along a cosine."""
    return 0.5 * (1 - math.cos(math.pi * left))


class Following:
    """How much of the outputs' power is error, beside a teacher's, and a little of how much of the activations' is.

    Parameters
    ----------
    pupil, teacher
        The network that is learned, and the one that it is to follow.
    """

    def __init__(self, pupil: LearnedNetwork, teacher: LearnedNetwork, batches: Sequence[Fed]) -> None:
        self._pupil, self._teacher, self._batches = pupil, teacher, batches

    def __call__(self, place: int) -> Tensor | None:
        """Give it for a batch; None where nothing of it can be learned from."""
        leaves, wanted = self._batches[place].leaves, dict[str, Tensor]()
        with torch.no_grad():
            outputs = _tensors(self._teacher.run(leaves, lambda row, values: wanted.__setitem__(row, values.detach())))
        on_the_way: list[Tensor] = []

        def compare(row: str, values: Tensor) -> None:
            if values.requires_grad:
                on_the_way.append(_share(values, wanted[row]))

        given = _tensors(self._pupil.run(leaves, compare))
        at_the_end = [_share(*pair) for pair in zip(given, outputs, strict=True) if pair[0].requires_grad]
        if not at_the_end:
            return None
        return torch.stack(at_the_end).mean() + ON_THE_WAY * torch.stack(on_the_way or at_the_end).mean()


class _Lessening:
    """A loss of the person's own."""

    def __init__(self, pupil: LearnedNetwork, batches: Sequence[Fed], loss: Loss) -> None:
        self._pupil, self._batches, self._loss = pupil, batches, loss

    def __call__(self, place: int) -> Tensor | None:
        """Give it for a batch; None where nothing of it can be learned from."""
        batch = self._batches[place]
        outputs = self._pupil.run(batch.leaves, lambda row, values: None)
        found = loss_of(self._loss, outputs, batch)
        if not found.requires_grad and any(output.requires_grad for output in _tensors(outputs)):
            raise DataError(
                "the loss has no gradient: compute it from the outputs by functions of torch that have one, without "
                "detach(), item(), argmax() or NumPy"
            )
        return found if found.requires_grad else None


def _moving(plan: PlanState) -> frozenset[str]:
    """Give the rows whose windows may be learned: those of biases stay, or follow the sums."""
    assert plan.calibration is not None  # else the network could not be captured
    # A bias that several layers share can be at their accumulators only while these have one step.
    shared = {
        row.name
        for row in plan.rows
        if plan.committed[row.name] == ACCUMULATOR and not has_one_accumulator(plan.calibration, row)
    }
    held = {row for each in plan.calibration.sums if each.bias in shared for row in (each.weight, *each.reads)}
    return frozenset(
        row.name
        for row in plan.rows
        if isinstance(fmt := plan.committed[row.name], FixedPoint | PerChannel)
        and row.kind != "bias"
        and row.name not in plan.locked | held
        and fmt.overflow == "saturate"
        and fmt.word_length <= WIDEST
    )


def _moved(pupil: LearnedNetwork, plan: PlanState) -> dict[str, Format]:
    """Give the formats whose windows have moved, where need be coarser, so that sums fit as they did."""
    found: dict[str, Format] = {
        row: window.format for row, window in pupil.windows.items() if window.format != plan.committed[row]
    }
    assert plan.calibration is not None  # else the network could not be captured
    return leave_as_before(plan.calibration, plan.committed, found) if found else {}


def _learnable(leaf: Any) -> Any:
    """Give what gradients can be computed through: a tensor that was made in inference mode is none."""
    return leaf.clone() if isinstance(leaf, Tensor) and leaf.is_inference() else leaf


def _tensors(outputs: Any) -> list[Tensor]:
    return [value for value in pytree.tree_leaves(outputs) if isinstance(value, Tensor) and value.is_floating_point()]


def _share(values: Tensor, wanted: Tensor) -> Tensor:
    """Give the squared error as a share of what is wanted, where both are finite: a masked score is not."""
    finite = values.detach().isfinite() & wanted.isfinite()
    right = wanted[finite].float()
    power = right.square().sum().clamp_min(torch.finfo(torch.float32).tiny)
    return (values[finite].float() - right).square().sum() / power


register_step(
    Step(
        name="fine_tune",
        title="Fine-tune",
        about="Learns the weights and biases inside their windows, so that the outputs follow those in float.",
        run=fine_tune,
        note="fine-tuned",
        changes=("roundings", "shifts"),
        switches={"windows": "windows move, too"},
    )
)
