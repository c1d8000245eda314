"""What masks the scores of an attention keeps masking, whatever the word length."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from qwidgets import calibrate, quantize
from qwidgets.targets import TARGETS

LENGTH, WIDTH = 6, 8
Masking = Callable[[Tensor, Tensor], Tensor]
HIDDEN = torch.triu(torch.ones(LENGTH, LENGTH), 1).bool()


def _slopes() -> Tensor:
    positions = torch.arange(LENGTH)
    return -0.5 * (positions[:, None] - positions[None]).abs()


WAYS: dict[str, tuple[Tensor, Masking]] = {
    f"a buffer of {low}": (torch.zeros(LENGTH, LENGTH).masked_fill(HIDDEN, low), lambda scores, mask: scores + mask)
    for low in (-1e4, -1e9, torch.finfo(torch.float32).min, -math.inf)
} | {
    "slopes and -inf": (_slopes().masked_fill(HIDDEN, -math.inf), lambda scores, mask: scores + mask),
    "computed of ones and zeros": (
        (~HIDDEN).float(),
        lambda scores, kept: scores + (1.0 - kept) * torch.finfo(torch.float32).min,
    ),
    "chosen": (HIDDEN, lambda scores, hidden: torch.where(hidden, torch.tensor(-1e9), scores)),
    "filled": (HIDDEN, lambda scores, hidden: scores.masked_fill(hidden, -math.inf)),
    "subtracted": (HIDDEN.float() * 1e6, lambda scores, mask: scores - mask),
}


class Attention(nn.Module):
    def __init__(self, buffer: Tensor, masking: Masking) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.buffer: Tensor
        self.register_buffer("buffer", buffer)
        self.masking = masking

    def forward(self, x: Tensor) -> Tensor:
        scores = self.masking(self.q(x) @ self.k(x).transpose(1, 2), self.buffer)
        out: Tensor = scores.softmax(-1) @ self.v(x)
        return out


class Fed(nn.Module):
    """As a transformer of Hugging Face: the batch says which tokens count, and the mask is made of that."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(WIDTH, WIDTH) for _ in range(3))

    def forward(self, x: Tensor, kept: Tensor) -> Tensor:
        mask = (1.0 - kept[:, None, :].to(x.dtype)) * torch.finfo(x.dtype).min
        out: Tensor = (self.q(x) @ self.k(x).transpose(1, 2) / 3 + mask).softmax(-1) @ self.v(x)
        return out


class Given(Fed):
    """The additive mask itself is an input."""

    def forward(self, x: Tensor, kept: Tensor) -> Tensor:
        out: Tensor = (self.q(x) @ self.k(x).transpose(1, 2) + kept).softmax(-1) @ self.v(x)
        return out


def _sqnr(model: nn.Module, word_length: int, *batch: Tensor) -> float:
    plan = calibrate(model.eval(), [batch], device="cpu", progress=False).propose(word_length=word_length)
    with torch.no_grad():
        reference = model(*batch)
    noise = reference - quantize(model, plan, accumulator_bits=53)(*batch)
    return float(10 * torch.log10(reference.square().sum() / noise.square().sum()))


@pytest.mark.parametrize(("word_length", "least"), [(8, 30), (16, 75)])
@pytest.mark.parametrize("way", WAYS)
def test_a_masked_attention_is_as_good_as_its_words_are_long(way: str, word_length: int, least: float) -> None:
    torch.manual_seed(0)
    assert _sqnr(Attention(*WAYS[way]), word_length, torch.randn(16, LENGTH, WIDTH)) > least


@pytest.mark.parametrize("kind", ["which tokens count", "which tokens count, as integers", "the mask itself"])
def test_a_mask_that_comes_with_the_batch_masks(kind: str) -> None:
    torch.manual_seed(0)
    kept = torch.ones(16, LENGTH)
    kept[:, -2:] = 0
    if kind == "the mask itself":
        mask = torch.zeros(16, LENGTH, LENGTH).masked_fill(kept[:, None] == 0, -math.inf)
        assert _sqnr(Given(), 8, torch.randn(16, LENGTH, WIDTH), mask) > 30
    else:
        kept = kept.long() if "integers" in kind else kept
        assert _sqnr(Fed(), 8, torch.randn(16, LENGTH, WIDTH), kept) > 30


def test_masks_and_the_scores_under_them_stay_in_float_and_nothing_else_does() -> None:
    torch.manual_seed(0)
    model = Attention(*WAYS["a buffer of -1000000000.0"]).eval()
    plan = calibrate(model, [torch.randn(16, LENGTH, WIDTH)], device="cpu", progress=False).propose()
    assert [name for name in plan if plan[name] is None] == ["buffer", "add"]
    assert plan.history[-1].note == "mse, 8 bits; in float, since they mask: buffer, add"


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_proposals_for_a_target_keep_masks_in_float_too(target: str) -> None:
    torch.manual_seed(0)
    model = Attention(*WAYS["a buffer of -inf"]).eval()
    calibration = calibrate(model, [torch.randn(16, LENGTH, WIDTH)], device="cpu", progress=False)
    plan = calibration.propose(target=target)
    assert plan["buffer"] is None
    assert plan["add"] is None


def test_a_few_large_activations_are_no_mask() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = x + self.fc(x)
            return out

    model, x = Residual().eval(), torch.randn(64, 4).clamp(-3, 3)
    x[0, 0] = -30000.0
    with torch.no_grad():
        model.fc.weight.mul_(1e-3)
    plan = calibrate(model, [x], device="cpu", progress=False).propose()
    assert None not in [plan[name] for name in plan]
