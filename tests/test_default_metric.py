"""Without a metric, validate() finds the dimension of the classes, whatever the shape of the outputs."""

import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from qwidgets.calibration import calibrate
from qwidgets.network import capture
from qwidgets.simulation import quantize
from qwidgets.validation import validate
from qwidgets.validation.class_axis import class_axis
from qwidgets.validation.metrics import Judge


class Sequences(nn.Module):
    """Scores of classes for each step of a sequence: channels last, or moved to where convolutions have them."""

    def __init__(self, channels_first: bool) -> None:
        super().__init__()
        self.channels_first = channels_first
        self.body, self.head = nn.Linear(8, 16), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        scores = torch.log_softmax(self.head(torch.relu(self.body(x))), -1)
        return scores.transpose(1, 2) if self.channels_first else scores


@pytest.mark.parametrize("length", [5, 12])
@pytest.mark.parametrize("channels_first", [False, True])
@pytest.mark.parametrize("labelled", [False, True])
def test_each_step_of_a_sequence_counts(length: int, channels_first: bool, labelled: bool) -> None:
    torch.manual_seed(0)
    model, x = Sequences(channels_first).eval(), torch.randn(24, length, 8)
    axis = 1 if channels_first else 2
    classes = model(x).argmax(axis)
    plan = calibrate(model, [x], device="cpu", progress=False).propose(5)
    expected = (quantize(model, plan)(x).argmax(axis) == classes).double().mean().item()
    report = validate(model, plan, [(x, classes)] if labelled else [x])
    found = report[report["kind"] == "metric"]
    assert list(found.index) == ["top1" if labelled else "agreement"]
    assert found[["float", "quantized"]].iloc[0].tolist() == [1.0, pytest.approx(expected)]
    assert expected < 1


@given(st.data())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_the_labels_tell_the_dimension_of_the_classes(data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=3), label="sizes beside the classes")
    axis = data.draw(st.integers(1, len(sizes)), label="axis")
    classes = data.draw(st.integers(2, 6), label="classes")
    batches = data.draw(st.integers(1, 3), label="batches")
    kept = data.draw(st.booleans(), label="whether labels keep the dimension, with size one")
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 99), label="seed"))
    shape = [*sizes[:axis], classes, *sizes[axis:]]
    # Nothing but the truth is agreed with everywhere: scores of other classes are drawn anew for each place.
    outputs = [torch.rand(shape, generator=generator) for _ in range(batches)]
    labels = [output.argmax(axis, keepdim=kept) for output in outputs]
    judge = Judge(None, outputs, labels, axis)
    assert judge.in_float == {"top1": 1.0}
    worse = [-output for output in outputs]
    right = torch.cat([(-output).argmax(axis).flatten() == label.flatten() for output, label in zip(outputs, labels)])  # noqa: B905
    assert judge.of(worse)["top1"] == pytest.approx(right.double().mean().item())


def test_places_without_a_label_are_left_out() -> None:
    scores = torch.eye(4).expand(3, 4, 4)  # (batch, length, classes): at step i it is class i
    labels = torch.tensor([[0, 1, -100, 0], [0, 255, 2, 3], [-1, -1, -1, -1]])
    assert Judge(None, [scores], [labels], 2).in_float == {"top1": 5 / 6}


@pytest.mark.parametrize(
    "targets",
    [torch.tensor([[3, 9], [1, 2]]), torch.rand(2, 2), torch.tensor([[True, False], [True, True]]), None],
    ids=["counts beyond the classes", "numbers", "truth values", "none"],
)
def test_what_names_no_class_is_not_taken_for_labels(targets: Tensor | None) -> None:
    scores = torch.tensor([[[0.1, 0.9], [0.8, 0.2]], [[0.3, 0.7], [0.6, 0.4]]])
    assert Judge(None, [scores], [targets], 2).in_float == {"agreement": 1.0}


def test_where_neither_labels_nor_the_network_tell_a_metric_is_asked_for_and_one_that_is_given_counts() -> None:
    scores, labels = torch.zeros(2, 3, 3), torch.zeros(2, 3, dtype=torch.long)
    for targets in (labels, None):
        with pytest.warns(UserWarning, match=r"\(2, 3, 3\) do not tell which dimension.*pass a metric"):
            assert Judge(None, [scores], [targets]).in_float == {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        given_one = Judge(lambda outputs, labels: (outputs.argmax(2) == labels).double().mean(), [scores], [labels])
        assert list(given_one.in_float.values()) == [1.0]


def test_sequences_of_different_lengths_are_judged_together() -> None:
    outputs = [torch.eye(5)[None, :length] for length in (2, 5)]
    labels = [torch.tensor([[0, 1]]), torch.tensor([[0, 1, 2, 3, 0]])]
    assert Judge(None, outputs, labels, 2).in_float == {"top1": 6 / 7}
    lengths = Judge(lambda outputs, labels: float(sum(map(len, outputs[0]))), outputs, labels)
    assert list(lengths.in_float.values()) == [2.0]


@pytest.mark.parametrize(
    ("last", "axis"),
    [
        (nn.Identity(), 1),
        (nn.Sigmoid(), 1),
        (nn.Softmax(3), 3),
        (nn.Upsample(scale_factor=2, mode="bilinear"), 1),
        (nn.AvgPool2d(2), 1),
        (nn.Flatten(), None),
        (nn.PixelShuffle(2), None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_the_graph_tells_where_the_channels_of_the_last_layer_are(last: nn.Module, axis: int | None) -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 1), last).eval()
    assert class_axis(capture(model, (torch.randn(2, 3, 4, 4),))) == axis
