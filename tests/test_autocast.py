"""What a network sets of autocast holds for its own operations: not for the caller, wherever a computation ends."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from qwidgets import Plan, calibrate, capture, fake_quantized, health, quantize, sensitivity, validate
from qwidgets.adjusting.layerwise import NetworkState
from qwidgets.examples import digits
from qwidgets.network import evaluate
from tests.networks import Autocast

torch.manual_seed(0)
MODEL = Autocast(4, 5, 3).eval()
DATA = [torch.randn(32, 4, generator=torch.Generator().manual_seed(seed)) for seed in range(4)]


@pytest.fixture
def plan() -> Plan:
    plan = calibrate(MODEL, DATA, progress=False).propose(6)
    plan.set_rounding("floor")  # which leaves the steps enough to do
    plan.commit()
    return plan


@pytest.fixture(autouse=True)
def off_afterwards() -> Iterator[None]:
    yield
    left_on = torch.is_autocast_enabled("cpu")
    torch.set_autocast_enabled("cpu", False)
    assert not left_on


def interrupted(row: str, values: Tensor) -> None:
    if torch.is_autocast_enabled("cpu"):
        raise KeyboardInterrupt


def test_a_run_that_is_interrupted_leaves_nothing_on(plan: Plan) -> None:
    with pytest.raises(KeyboardInterrupt):
        capture(MODEL, (DATA[0],)).run((DATA[0],), {}, interrupted)
    with pytest.raises(KeyboardInterrupt):
        quantize(MODEL, plan).run((DATA[0],), {}, interrupted)


def test_between_its_operations_the_callers_holds() -> None:
    network, values = capture(MODEL, (DATA[0],)), dict[Any, Any]()
    seen = [torch.is_autocast_enabled("cpu") for _ in evaluate(network, [DATA[0]], values, lambda value: value)]
    assert not any(seen)
    for operation in evaluate(network, [DATA[0]], values, lambda value: value):
        if getattr(values.get(operation), "dtype", None) == torch.bfloat16:
            return  # and computes no further
    pytest.fail("nothing was computed in bfloat16")


USES: list[Callable[[Plan], object]] = [
    lambda plan: plan.equalize(DATA, progress=False, on_unchanged=print),
    lambda plan: plan.correct_bias(DATA, progress=False, on_unchanged=print),
    lambda plan: plan.round_adaptively(DATA, progress=False, on_unchanged=print),
    lambda plan: plan.fine_tune(DATA, progress=False, on_unchanged=print),
    lambda plan: plan.search(DATA, progress=False),
    lambda plan: validate(MODEL, plan, DATA),
    lambda plan: health(MODEL, plan, DATA),
    lambda plan: sensitivity(MODEL, plan, DATA, progress=False),
]


@pytest.mark.parametrize("use", USES)
def test_whatever_computes_it_leaves_nothing_on(use: Callable[[Plan], object], plan: Plan) -> None:
    use(plan)
    assert not torch.is_autocast_enabled("cpu")


def test_several_batches_side_by_side_are_computed_as_each_alone(plan: Plan) -> None:
    network = capture(MODEL, (DATA[0],))
    formats = dict.fromkeys(plan.committed)
    sides = [NetworkState(network, formats, [[batch] for batch in DATA]) for _ in range(2)]
    for operation in network.operations:
        for side in sides:
            side.compute(operation)
    for side in sides:
        (last,) = network.output.args[0]
        for batch, found in zip(DATA, side.values[last], strict=True):
            assert torch.equal(found, MODEL(batch))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_integers_are_the_same_in_a_callers_autocast(dtype: torch.dtype) -> None:
    example = digits()
    images, labels = next(iter(example.test))
    plan = calibrate(example.model, [images], device="cpu", progress=False).propose(8)
    quantized, module = quantize(example.model, plan), fake_quantized(plan)
    outputs, table = quantized(images), sensitivity(example.model, plan, [images], names=["input"], progress=False)
    with torch.autocast("cpu", dtype):
        assert torch.equal(quantized(images), outputs)
        assert torch.equal(module(images), outputs)
        inside = sensitivity(example.model, plan, [images], names=["input"], progress=False)
        assert torch.is_autocast_enabled("cpu")
    assert inside.attrs["sqnr_db"] == pytest.approx(table.attrs["sqnr_db"], abs=2)  # what is in float may be coarser
    torch.nn.functional.cross_entropy(module(images), labels).backward()
    assert all(value.grad is not None for value in module.parameters())
