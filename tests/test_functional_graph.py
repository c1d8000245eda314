"""Operations in place: the captured graph has none, and computes what the model does."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from qwidgets import calibrate, quantize
from qwidgets.errors import CaptureError
from qwidgets.network import Network, capture

Write = Callable[[Tensor], Any]


def _halves(y: Tensor) -> None:
    left, right = y.chunk(2, 1)
    left.relu_()
    right.sigmoid_()


def _swap(y: Tensor) -> None:
    kept = y[:, 0].clone()
    y[:, 0] = y[:, 1]
    y[:, 1] = kept


def _assign(index: Any, value: Any) -> Write:
    return lambda y: y.__setitem__(index, value)


WRITES: dict[str, Write] = {
    "relu": lambda y: F.relu(y, inplace=True),
    "hardswish": lambda y: F.hardswish(y, inplace=True),
    "relu of a channel": lambda y: y[:, 0].relu_(),
    "relu of a slice": lambda y: F.relu(y[:, :2], inplace=True),
    "both halves": _halves,
    "two channels swapped": _swap,
    "a permutation scaled": lambda y: y.permute(0, 2, 3, 1)[..., 0].mul_(3),
    "a view shifted": lambda y: y.view(y.shape[0], -1)[:, ::3].add_(0.5),
    "flattened": lambda y: y.flatten(1).clamp_(-0.5, 0.75),
    "detached": lambda y: y.detach().mul_(0.5),
    "a diagonal": lambda y: y.diagonal(dim1=2, dim2=3).neg_(),
    "one of a split": lambda y: y.split(2, 1)[1].tanh_(),
    "one of unbind": lambda y: y.unbind(1)[2].abs_(),
    "a narrowed part": lambda y: y.narrow(2, 1, 2).zero_(),
    "a channel set to a number": _assign((slice(None), 0), 0.25),
    "rows set to zero": _assign((slice(None), slice(None), 1), 0),
    "channels by list": _assign((slice(None), [0, 2]), 0.5),
    "what a mask tells": lambda y: y.masked_fill_(y < 0, 0.125),
    "what a mask assigns": lambda y: y.__setitem__(y > 1, 1.0),
    "a channel copied": lambda y: y[:, 1].copy_(y[:, 3]),
    "a corner scaled": lambda y: y[..., :2, :2].mul_(2),
    "a sum of its own": lambda y: y.add_(y.mean((2, 3), keepdim=True)),
    "a part filled": lambda y: y[:, 1:3].fill_(-0.5),
}


class Writing(nn.Module):
    """A convolution, what is written to what it gives, and a convolution that reads it."""

    def __init__(self, *writes: Write) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 2, 3)
        self.writes = writes

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        for write in self.writes:
            write(y)
        out: Tensor = self.second(y)
        return out


def _network(*writes: Write) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    return Writing(*writes).eval(), torch.randn(5, 4, 6, 6)


def _mutating(network: Network) -> list[str]:
    return [
        operation.label
        for operation in network.operations
        if getattr(getattr(operation.target, "_schema", None), "is_mutable", False)
    ]


def _sqnr(reference: Tensor, values: Tensor) -> float:
    return float(10 * torch.log10(reference.square().sum() / (reference - values).square().sum()))


@pytest.mark.parametrize("name", WRITES)
def test_what_is_written_in_place_is_read_afterwards(name: str) -> None:
    model, x = _network(WRITES[name])
    network = capture(model, (x[:2],))
    assert not _mutating(network)
    with torch.no_grad():
        reference = model(x.clone())
    assert torch.equal(network.run((x,), {}, lambda row, tensor: None), reference)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(sorted(WRITES)), min_size=2, max_size=4))
def test_any_sequence_of_writes_is_what_the_model_computes(names: list[str]) -> None:
    model, x = _network(*(WRITES[name] for name in names))
    network = capture(model, (x[:2],))
    with torch.no_grad():
        reference = model(x.clone())
    assert not _mutating(network)
    assert torch.equal(network.run((x,), {}, lambda row, tensor: None), reference)


@pytest.mark.parametrize("name", WRITES)
def test_the_quantized_network_reads_what_was_written(name: str) -> None:
    model, x = _network(WRITES[name])
    plan = calibrate(model, [x.clone()], device="cpu", progress=False).propose(word_length=16)
    with torch.no_grad():
        reference = model(x.clone())
    assert _sqnr(reference, quantize(model, plan, accumulator_bits=53)(x.clone())) > 65


@pytest.mark.parametrize("step", ["equalize", "correct_bias", "round_adaptively", "fine_tune", "mend"])
def test_the_steps_take_a_network_with_activations_in_place(step: str) -> None:
    torch.manual_seed(0)
    x = [torch.randn(16, 3, 8, 8)]
    entries = []
    for inplace in (False, True):
        torch.manual_seed(1)
        layers = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU6(inplace=inplace), nn.Conv2d(4, 2, 1)
        model = nn.Sequential(*layers).eval()
        plan = calibrate(model, x, device="cpu", progress=False).propose(word_length=6)
        getattr(plan, step)(x, progress=False)
        entries.append(quantize(model, plan)(x[0]))
    assert torch.equal(*entries)


def test_a_users_batch_is_not_written_to() -> None:
    class Clipping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            x[:, 0].clamp_(-1, 1)
            x.mul_(2)
            out: Tensor = self.fc(x)
            return out

    torch.manual_seed(0)
    model, x = Clipping().eval(), torch.randn(6, 4)
    kept = x.clone()
    plan = calibrate(model, [x], device="cpu", progress=False).propose(word_length=16)
    quantized = quantize(model, plan)(x)
    assert torch.equal(x, kept)
    with torch.no_grad():
        assert _sqnr(model(kept), quantized) > 65


class Counting(nn.Module):
    """Counts its calls, and tells nobody."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 3)
        self.calls: Tensor
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        out: Tensor = self.fc(x)
        return out


class Remembering(Counting):
    """Adds up what it was given."""

    def forward(self, x: Tensor) -> Tensor:
        self.calls.add_(x.mean())
        return super().forward(x) * self.calls


class Starting(Counting):
    """Uses a buffer as room to write in, from nothing in each call."""

    def forward(self, x: Tensor) -> Tensor:
        self.calls.zero_()
        self.calls.add_(x.mean())
        out: Tensor = self.fc(x) * self.calls
        return out


class Handed(nn.Module):
    """As `Remembering`, its state an input and an output."""

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        state = state + x.mean()
        return x * state, state


@pytest.mark.parametrize("model", [Counting(), Starting()], ids=["a counter", "room to write in"])
def test_a_buffer_that_no_call_reads_of_the_one_before_is_no_state(model: Counting) -> None:
    x = torch.randn(4, 3)
    kept = model.calls.clone()
    network = capture(model.eval(), (x,))
    assert torch.equal(model.calls, kept)
    with torch.no_grad():
        reference = model(x)
    for _ in range(2):
        assert torch.equal(network.run((x,), {}, lambda row, tensor: None), reference)


def test_a_network_that_remembers_between_calls_is_refused_and_the_advice_helps() -> None:
    with pytest.raises(CaptureError, match=r"writes to its buffer 'calls' and reads it again.*as an input and give it"):
        capture(Remembering().eval(), (torch.randn(4, 3),))
    x, state = torch.randn(4, 3), torch.zeros(1)
    network = capture(Handed(), (x, state))
    assert torch.equal(network.run((x, state), {}, lambda row, tensor: None)[0], x * (state + x.mean()))


def test_a_write_to_what_dropout_lets_through_is_refused_with_its_line() -> None:
    class Dropping(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            y = x * 2
            z = F.dropout(y, training=self.training)
            z.relu_()
            return y + z

    with pytest.raises(CaptureError, match=r"relu writes in place to what a dropout gave \(line \d+ of .*z.relu_\(\)"):
        capture(Dropping().eval(), (torch.randn(4, 3),))


def test_sections_with_a_gradient_mode_or_autocast_of_their_own_are_written_through_too() -> None:
    class Sections(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            y = self.fc(x)
            with torch.enable_grad():
                y[:, 0].relu_()
                y[:, 1] = 0
            with torch.autocast("cpu", torch.bfloat16):
                z = self.fc(y)
                z[:, 2].mul_(2)
            out: Tensor = y + z
            return out

    torch.manual_seed(0)
    model, x = Sections().eval(), torch.randn(6, 4)
    network = capture(model, (x,))
    with torch.no_grad():
        reference = model(x)
    assert torch.equal(network.run((x,), {}, lambda row, tensor: None), reference)


def test_a_copied_part_keeps_its_format() -> None:
    model, x = _network(WRITES["a channel copied"])
    network = capture(model, (x,))
    names = [operation.name for operation in network.operations]
    assert "copy" not in names
    assert list(itertools.filterfalse(network.producers.__contains__, ["select_scatter"])) == []
