"""quantize() against an int64 reference, code for code, and what it promises beside the numbers."""

import copy
import dataclasses
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from qwidgets.calibration import calibrate
from qwidgets.errors import DataError, PlanError
from qwidgets.examples import digits
from qwidgets.formats import OVERFLOWS, ROUNDINGS, FixedPoint
from qwidgets.plan import Plan
from qwidgets.simulation import QuantizedNetwork, captured, quantize
from qwidgets.tuning import Format
from tests import integer_reference as reference
from tests.integer_reference import Ints


def plan_of(model: nn.Module, *inputs: Tensor, word_length: int = 8, formats: dict[str, Format] | None = None) -> Plan:
    plan = calibrate(model, [inputs], device="cpu", progress=False).propose(word_length, "minmax")
    if formats:
        plan.draft(formats)
        plan.commit()
    return plan


def randomized(plan: Plan, seed: int, longest: int = 12) -> Plan:
    """Give each tensor another word length, rounding and overflow, and move some windows so that values overflow."""
    rng = np.random.default_rng(seed)
    for name, fmt in plan.committed.items():
        assert isinstance(fmt, FixedPoint)
        # A long bias has a finer step than the accumulator.
        length = int(rng.integers(3, (24 if name.endswith("bias") else longest) + 1))
        window = FixedPoint.from_window(fmt.msb - int(rng.integers(0, 2)), fmt.msb - length + 2, fmt.signed)
        plan[name] = dataclasses.replace(
            window, rounding=str(rng.choice(ROUNDINGS)), overflow=str(rng.choice(OVERFLOWS))
        )
    plan.commit()
    return plan


def codes_of(quantized: QuantizedNetwork, plan: Plan, *inputs: Tensor) -> dict[str, np.ndarray[Any, Any]]:
    """Run the network and give the integers of each input and activation; all must be whole and of their format."""
    seen: dict[str, np.ndarray[Any, Any]] = {}

    def observe(row: str, values: Tensor) -> None:
        fmt = plan.committed[row]
        assert isinstance(fmt, FixedPoint)
        assert values.dtype in (torch.float32, torch.float64)
        steps = values.double() / fmt.step
        assert torch.equal(steps, steps.round())
        seen[row] = fmt.to_integer(values).numpy()

    quantized.run(inputs, {}, observe)
    return seen


class Parts:
    """What a reference computes with: constants, formats, and the codes that enter."""

    def __init__(self, quantized: QuantizedNetwork, plan: Plan) -> None:
        self.plan = plan
        self.codes = {row: codes.numpy() for row, codes in quantized.codes.items()}

    def fmt(self, row: str) -> FixedPoint:
        fmt = self.plan.committed[row]
        assert isinstance(fmt, FixedPoint)
        return fmt

    def constant(self, row: str) -> Ints | None:
        return Ints(self.codes[row], self.fmt(row).fraction_length) if row in self.codes else None

    def layer(self, module: nn.Module, path: str, x: Ints) -> Ints:
        w, bias = self.constant(f"{path}.weight"), self.constant(f"{path}.bias")
        assert w is not None
        rounding = "half_away" if bias is None else self.fmt(f"{path}.bias").rounding
        if isinstance(module, nn.Linear):
            return reference.linear(x, w, bias, rounding)
        if isinstance(module, nn.ConvTranspose1d | nn.ConvTranspose2d):
            stride, padding = module.stride[0], int(module.padding[0])
            return reference.transposed_convolution(x, w, bias, rounding, stride, padding, module.groups)
        assert isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d)
        stride, padding, dilation = module.stride[0], int(module.padding[0]), module.dilation[0]
        return reference.convolution(x, w, bias, rounding, stride, padding, dilation, module.groups)


ACTIVATIONS: dict[type[nn.Module], Callable[[Any, Ints], Ints]] = {
    nn.ReLU: lambda _, x: reference.clamp(x, 0, None),
    nn.ReLU6: lambda _, x: reference.clamp(x, 0, 6),
    nn.Hardtanh: lambda module, x: reference.clamp(x, int(module.min_val), int(module.max_val)),
    nn.Hardswish: lambda _, x: reference.hardswish(x),
    nn.Hardsigmoid: lambda _, x: reference.hardsigmoid(x),
    # 0.01 is 5243 * 2**-19, the nearest of 15 bits; 0.25 is a power of two.
    nn.LeakyReLU: lambda module, x: reference.leaky_relu(x, *((5243, 19) if module.negative_slope == 0.01 else (1, 2))),
}


def sequential_codes(model: nn.Sequential, parts: Parts, x: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Compute every row of a chain of layers."""
    values = reference.encode(x, parts.fmt("input"))
    rows = {"input": values.codes}
    modules = list(model.named_children())
    for position, (path, module) in enumerate(modules):
        if path not in parts.plan.committed and isinstance(module, (nn.BatchNorm2d, *ACTIVATIONS)):
            continue  # done with the layer before it
        if isinstance(module, nn.Flatten):
            values = Ints(values.codes.reshape(len(values.codes), -1), values.fraction)
            continue
        if isinstance(module, nn.MaxPool2d):
            blocks = values.codes.reshape(
                *values.codes.shape[:2], values.codes.shape[2] // 2, 2, values.codes.shape[3] // 2, 2
            )
            values = Ints(blocks.max((3, 5)), values.fraction)
            continue
        if isinstance(module, nn.AvgPool1d | nn.AvgPool2d | nn.AvgPool3d):
            kernel, stride = np.ravel([module.kernel_size])[0], np.ravel([module.stride])[0]
            values = reference.average_pool(values, int(kernel), int(stride))
        elif isinstance(module, nn.AdaptiveAvgPool2d):
            values = reference.average_pool(values, values.codes.shape[2], 1)
        elif type(module) in ACTIVATIONS:
            values = ACTIVATIONS[type(module)](module, values)
        else:
            values = parts.layer(module, path, values)
            following = modules[position + 1][1] if position + 1 < len(modules) else None
            if isinstance(following, nn.BatchNorm2d):
                following = modules[position + 2][1]
            if following is not None and type(following) in ACTIVATIONS:
                values = ACTIVATIONS[type(following)](following, values)
                module = following
        rescale = reference.rescale_once if isinstance(module, nn.LeakyReLU) else reference.rescale
        values = rescale(values, parts.fmt(path))
        rows[path] = values.codes
    return rows


CHAINS: dict[str, tuple[Callable[[], nn.Sequential], tuple[int, ...]]] = {
    "linear": (lambda: nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)), (7, 6)),
    "linear over a sequence": (lambda: nn.Sequential(nn.Linear(4, 3, bias=False), nn.ReLU6()), (2, 5, 4)),
    "conv1d": (lambda: nn.Sequential(nn.Conv1d(3, 4, 3, stride=2, padding=1), nn.Hardswish()), (2, 3, 11)),
    "conv2d": (lambda: nn.Sequential(nn.Conv2d(2, 5, 3, bias=False), nn.LeakyReLU(0.01)), (2, 2, 6, 7)),
    "conv3d": (lambda: nn.Sequential(nn.Conv3d(2, 3, 2, padding=1), nn.ReLU()), (2, 2, 3, 4, 3)),
    "grouped": (lambda: nn.Sequential(nn.Conv2d(4, 6, 3, groups=2, padding=1), nn.Hardtanh(-2, 3)), (2, 4, 5, 5)),
    "depthwise": (lambda: nn.Sequential(nn.Conv2d(5, 5, 3, groups=5, padding=1), nn.ReLU6()), (2, 5, 6, 6)),
    "dilated": (lambda: nn.Sequential(nn.Conv2d(2, 3, 3, dilation=2), nn.LeakyReLU(0.25)), (2, 2, 8, 8)),
    "transposed": (lambda: nn.Sequential(nn.ConvTranspose2d(3, 4, 3, stride=2, padding=1), nn.ReLU()), (2, 3, 4, 4)),
    "transposed and grouped": (lambda: nn.Sequential(nn.ConvTranspose1d(4, 6, 3, groups=2)), (2, 4, 5)),
    "pooling": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 3, 3), nn.MaxPool2d(2), nn.AvgPool2d(3, stride=1), nn.Flatten(), nn.Linear(3, 2)
        ),
        (2, 1, 8, 8),
    ),
    "average over a line": (lambda: nn.Sequential(nn.Conv1d(2, 3, 1), nn.AvgPool1d(3)), (2, 2, 9)),
    "average over a space": (lambda: nn.Sequential(nn.Conv3d(1, 2, 1), nn.AvgPool3d(2)), (2, 1, 4, 4, 4)),
    "global average": (lambda: nn.Sequential(nn.Conv2d(1, 3, 3), nn.AdaptiveAvgPool2d(1)), (2, 1, 7, 7)),
    "hard gates": (lambda: nn.Sequential(nn.Linear(4, 4), nn.Hardsigmoid(), nn.Hardswish()), (6, 4)),
    "batch norm": (
        lambda: nn.Sequential(nn.Conv2d(2, 3, 3, bias=False), nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 2, 1)),
        (2, 2, 6, 6),
    ),
}


@pytest.mark.parametrize("name", CHAINS)
def test_a_chain_of_layers_gives_the_codes_of_the_int64_reference(name: str) -> None:
    build, shape = CHAINS[name]
    torch.manual_seed(0)
    model, x = build().eval(), torch.randn(shape) * 2
    plan = plan_of(model, x)
    network = captured(model, plan)
    for seed in range(4):
        randomized(plan, seed, longest=12 if seed < 3 else 22)
        quantized = QuantizedNetwork(model, network, plan.committed)
        assert not quantized.float_islands
        found = codes_of(quantized, plan, x)
        expected = sequential_codes(model, Parts(quantized, plan), x.numpy())
        assert found.keys() == expected.keys()
        for row, codes in expected.items():
            np.testing.assert_array_equal(found[row], codes, err_msg=f"{row}, seed {seed}")


@pytest.mark.parametrize("word_length", [8, 14, 24, 31])
def test_words_of_any_length_give_the_codes_of_the_int64_reference(word_length: int) -> None:
    torch.manual_seed(word_length)
    model = nn.Sequential(nn.Linear(9, 6), nn.ReLU(), nn.Linear(6, 4))
    x = torch.randn(16, 9)
    plan = plan_of(model, x, word_length=word_length)
    quantized = quantize(model, plan)
    found = codes_of(quantized, plan, x)
    for row, codes in sequential_codes(model, Parts(quantized, plan), x.numpy()).items():
        np.testing.assert_array_equal(found[row], codes, err_msg=row)


def test_the_weights_codes_are_their_values_quantized() -> None:
    model = nn.Sequential(nn.Linear(40, 30))
    plan = randomized(plan_of(model, torch.randn(4, 40)), seed=1)
    codes = quantize(model, plan).codes
    for row, tensor in {"0.weight": model[0].weight, "0.bias": model[0].bias}.items():
        fmt = plan.committed[row]
        assert isinstance(fmt, FixedPoint)
        assert isinstance(tensor, Tensor)
        np.testing.assert_array_equal(codes[row], reference.encode(tensor.detach().numpy(), fmt).codes)


class Combining(nn.Module):
    """Adds, subtracts, multiplies, joins and matrix-multiplies what two layers give."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(4, 4)
        self.b = nn.Linear(4, 4)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        a, b = self.a(x), self.b(x)
        product = torch.matmul(a.unsqueeze(1), b.unsqueeze(2))
        return self.relu(a + b), a - b, a * b, torch.cat([a, b], 1), product, a * 0.3, 1.5 - a, (a + b).mean(1)


def test_sums_products_and_joins_give_the_codes_of_the_int64_reference() -> None:
    torch.manual_seed(0)
    model, x = Combining(), torch.randn(5, 4)
    plan = plan_of(model, x)
    network = captured(model, plan)
    for seed in range(8):
        randomized(plan, seed, longest=12 if seed < 4 else 26)
        quantized = QuantizedNetwork(model, network, plan.committed)
        assert not quantized.float_islands
        parts = Parts(quantized, plan)
        given = reference.encode(x.numpy(), parts.fmt("input"))
        a, b = (
            reference.rescale(parts.layer(layer, row, given), parts.fmt(row))
            for row, layer in (("a", model.a), ("b", model.b))
        )
        total = reference.rescale(reference.add(a, b), parts.fmt("add_1"))
        expected = {
            "add": reference.clamp(reference.add(a, b), 0, None),
            "sub": reference.add(a, b, -1),
            "mul": reference.multiply(a, b),
            "cat": reference.concatenate([reference.rescale(part, parts.fmt("cat")) for part in (a, b)]),
            "matmul": reference.matmul(Ints(a.codes[:, None], a.fraction), Ints(b.codes[:, :, None], b.fraction)),
            "mul_1": Ints(a.codes * 19661, a.fraction + 16),  # 0.3 in 15 bits
            "rsub": reference.add(Ints(np.array([3]), 1), a, -1),
            "mean": Ints(total.codes.sum(1), total.fraction, 4),
        }
        found = codes_of(quantized, plan, x)
        for row, values in expected.items():
            codes = reference.rescale(values, parts.fmt(row)).codes
            np.testing.assert_array_equal(found[row], codes, err_msg=f"{row}, seed {seed}")


def test_the_digits_network_gives_the_codes_of_the_int64_reference() -> None:
    example = digits()
    images = next(iter(example.test))[0][:8]
    model, plan = example.model, plan_of(example.model, images)
    quantized = quantize(model, plan)
    parts = Parts(quantized, plan)

    def leave(row: str, values: Ints) -> Ints:
        np.testing.assert_array_equal(found[row], reference.rescale(values, parts.fmt(row)).codes, err_msg=row)
        return reference.rescale(values, parts.fmt(row))

    def layer(row: str, x: Ints) -> Ints:
        return parts.layer(model.get_submodule(row), row, x)

    found = codes_of(quantized, plan, images)
    x = reference.encode(images.numpy(), parts.fmt("input"))
    x = leave("stem.0", reference.clamp(layer("stem.0", x), 0, None))
    x = leave("blocks.0.depthwise", reference.clamp(layer("blocks.0.depthwise", x), 0, 6))
    x = leave("blocks.0.pointwise", reference.clamp(layer("blocks.0.pointwise", x), 0, None))
    x = Ints(x.codes.reshape(8, 32, 4, 2, 4, 2).max((3, 5)), x.fraction)
    y = leave("blocks.2.conv1", reference.clamp(layer("blocks.2.conv1", x), 0, None))
    y = leave("blocks.2.conv2", layer("blocks.2.conv2", y))
    x = leave("blocks.2.add", reference.clamp(reference.add(y, x), 0, None))
    x = leave("pool", reference.average_pool(x, 4, 1))
    leave("classifier", layer("classifier", Ints(x.codes.reshape(8, 32), x.fraction)))


def test_a_batch_norm_by_itself_scales_and_shifts_in_integers() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.ReLU(), nn.BatchNorm1d(3)).eval()
    norm = model[1]
    assert isinstance(norm, nn.BatchNorm1d)
    norm.running_mean = torch.randn(3)
    norm.running_var = torch.rand(3) + 0.5
    x = torch.randn(6, 3)
    plan = plan_of(model, x)
    quantized = quantize(model, plan)
    found, parts = codes_of(quantized, plan, x), Parts(quantized, plan)
    scale, shift = parts.constant("1.weight"), parts.constant("1.bias")
    assert scale is not None
    product = found["0"] * scale.codes
    fraction = parts.fmt("0").fraction_length + scale.fraction
    expected = reference.with_bias(product, fraction, shift, "half_away", axis=1)
    np.testing.assert_array_equal(found["1"], reference.rescale(expected, parts.fmt("1")).codes)
    torch.testing.assert_close(quantized(x), model(x), atol=0.04, rtol=0)
    plan["1.weight"] = None
    plan.commit()
    torch.testing.assert_close(quantize(model, plan)(x), model(x), atol=0.04, rtol=0)


# Accumulators


def test_sums_that_overflow_the_accumulator_wrap_and_are_counted_and_named() -> None:
    model = nn.Sequential(nn.Linear(64, 1, bias=False), nn.Linear(1, 1, bias=False))
    for parameter in model.parameters():
        nn.init.ones_(parameter)
    whole = FixedPoint(8, 0)
    wide = FixedPoint(24, 0)
    plan = plan_of(
        model, torch.ones(2, 64), formats={"input": whole, "0.weight": whole, "0": wide, "1.weight": whole, "1": wide}
    )
    x = torch.full((3, 64), 100.0)
    x[0] = 1
    quantized = quantize(model, plan, accumulator_bits=12)
    assert quantized(x).flatten().tolist() == [64.0, -1792.0, -1792.0]  # 6400 is -1792 in 12 bits
    assert quantized.accumulator_overflows == {"0": 2}
    assert quantize(model, plan)(x).flatten().tolist() == [64.0, 6400.0, 6400.0]


def test_an_accumulator_of_an_impossible_width_is_refused() -> None:
    model, x = nn.Linear(2, 2), torch.ones(2, 2)
    with pytest.raises(PlanError, match="2 to 53 bits, not 64"):
        quantize(model, plan_of(model, x), accumulator_bits=64)


def test_sums_that_no_float_type_holds_are_exact() -> None:
    model = nn.Linear(5, 1, bias=False).double()
    weights, inputs = (
        [2**30 - 1, 2**29 + 1, -(2**30) + 3, 7, 2**28 - 5],
        [2**30 - 3, 2**30 - 5, 2**29 - 7, -9, 2**30 - 11],
    )
    with torch.no_grad():
        model.weight.copy_(torch.tensor([weights]).double() / 2**30)
    x = torch.tensor([inputs]).double() / 2**30
    fine = FixedPoint(32, 30)
    lowest_bits = FixedPoint(32, 60, overflow="wrap")
    plan = plan_of(model, x, formats={"input": fine, "weight": fine, "linear": lowest_bits})
    total = sum(a * b for a, b in zip(weights, inputs, strict=True))
    assert total > 2**53
    quantized = quantize(model, plan, accumulator_bits=53)
    assert codes_of(quantized, plan, x)["linear"].item() == (total + 2**31) % 2**32 - 2**31
    assert quantized.accumulator_overflows == {"linear": 1}


# What stays in float


def test_an_all_float_plan_computes_what_the_model_computes() -> None:
    example = digits()
    images = next(iter(example.test))[0]
    plan = Plan(calibrate(example.model, [images], device="cpu", progress=False))
    quantized = quantize(example.model, plan)
    torch.testing.assert_close(quantized(images), example.model(images), rtol=1e-4, atol=1e-4)
    assert quantized.float_islands["stem.0"] == "conv2d reads input and stem.0.weight and stem.0.bias in float"


def test_a_tensor_kept_in_float_is_not_rounded_and_what_reads_it_says_so() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(4, 4)
    model, x = nn.Sequential(layer, nn.ReLU(), nn.Linear(4, 2)), torch.randn(8, 4)
    plan = plan_of(model, x, formats={"0": None})
    quantized = quantize(model, plan)
    seen: dict[str, Tensor] = {}
    outputs = quantized.run((x,), {}, lambda row, values: seen.update({row: values}))
    assert dict(quantized.float_islands) == {"2": "linear reads 0 in float"}
    weight, bias = (plan.committed[f"0.{name}"] for name in ("weight", "bias"))
    given, out = plan.committed["input"], plan.committed["2"]
    assert isinstance(weight, FixedPoint) and isinstance(bias, FixedPoint)
    assert isinstance(given, FixedPoint) and isinstance(out, FixedPoint)
    first = nn.functional.linear(given.quantize(x), weight.quantize(layer.weight), bias.quantize(layer.bias))
    torch.testing.assert_close(seen["0"], first.relu())
    assert torch.equal(outputs, out.quantize(outputs))


def test_functions_without_an_integer_form_run_in_float_between_two_formats_and_are_listed() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 6), nn.GELU(), nn.LayerNorm(6), nn.Linear(6, 3), nn.Softmax(-1))
    x = torch.randn(8, 6)
    plan = plan_of(model, x)
    quantized = quantize(model, plan)
    assert {row: reason.split()[0] for row, reason in quantized.float_islands.items()} == {
        "0": "gelu",
        "2": "layer_norm",
        "4": "softmax",
    }
    found = codes_of(quantized, plan, x)
    fmt, before = plan.committed["4"], plan.committed["3"]
    assert isinstance(fmt, FixedPoint) and isinstance(before, FixedPoint)
    softmax = torch.softmax(before.from_integer(torch.from_numpy(found["3"])).float(), -1)
    np.testing.assert_array_equal(found["4"], fmt.to_integer(softmax).numpy())


def test_a_recurrent_network_runs_with_its_gates_in_float() -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(4, 5, batch_first=True)
            self.head = nn.Linear(5, 2)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.head(self.lstm(x)[0][:, -1])
            return y

    torch.manual_seed(0)
    model, x = Recurrent(), torch.randn(3, 6, 4)
    plan = plan_of(model, x)
    quantized = quantize(model, plan)
    assert any("lstm" in row for row in quantized.float_islands)
    assert "head" not in quantized.float_islands
    torch.testing.assert_close(quantized(x), model(x), atol=0.05, rtol=0.05)


# The module


def test_the_users_model_is_not_changed() -> None:
    model = digits().model.train()
    model.register_forward_hook(lambda *_: None)
    before = copy.deepcopy(model.state_dict())
    hooks = len(model._forward_hooks)
    images = torch.rand(4, 1, 8, 8)
    plan = plan_of(model, images)
    quantized = quantize(model, plan)
    quantized(images)
    assert model.training
    assert len(model._forward_hooks) == hooks
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.parameters())
    for name, parameter in quantized.named_parameters():
        assert parameter.data_ptr() != model.get_parameter(name).data_ptr()


def test_module_paths_and_state_names_are_the_models() -> None:
    model = digits().model
    quantized = quantize(model, plan_of(model, torch.rand(4, 1, 8, 8)))
    assert [name for name, _ in quantized.named_modules()] == [name for name, _ in model.named_modules()]
    assert list(quantized.state_dict()) == list(model.state_dict())
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in quantized.state_dict().items())


def test_a_saved_state_loads_into_another_and_makes_its_codes() -> None:
    images = torch.rand(4, 1, 8, 8)
    model = digits().model
    plan = plan_of(model, images)
    quantized = quantize(model, plan)
    file = io.BytesIO()
    torch.save(quantized.state_dict(), file)
    other = copy.deepcopy(model)
    for parameter in other.parameters():
        nn.init.uniform_(parameter, -0.1, 0.1)
    loaded = quantize(other, plan)
    assert not torch.equal(loaded(images), quantized(images))
    file.seek(0)
    loaded.load_state_dict(torch.load(file))
    assert torch.equal(loaded(images), quantized(images))
    assert all(torch.equal(codes, quantized.codes[row]) for row, codes in loaded.codes.items())


def test_a_copy_computes_the_same_and_shares_nothing() -> None:
    images = torch.rand(4, 1, 8, 8)
    model = digits().model
    quantized = quantize(model, plan_of(model, images))
    before = quantized(images)
    other = copy.deepcopy(quantized)
    with torch.no_grad():
        for parameter in quantized.parameters():
            parameter.zero_()
    quantized.load_state_dict(quantized.state_dict())
    assert torch.equal(other(images), before)
    assert not torch.equal(quantized(images), before)


def test_it_moves_to_another_device_as_a_whole() -> None:
    class Placed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(6, 4)
            self.conv = nn.Conv1d(4, 3, 3, bias=False)
            self.norm = nn.BatchNorm1d(3)
            self.head = nn.Sequential(nn.Flatten(), nn.Linear(12, 2), nn.GELU())

        def forward(self, x: Tensor) -> Tensor:
            x = x + self.embedding(torch.arange(6, device=x.device)) * torch.tensor(0.5)
            y: Tensor = self.head(self.norm(self.conv(x.transpose(1, 2))))
            return y

    torch.manual_seed(0)
    model, x = Placed(), torch.randn(2, 6, 4)
    quantized = quantize(model, plan_of(model, x), accumulator_bits=12)
    before = quantized(x)
    # A device that computes shapes only, and refuses tensors that were left behind on the CPU.
    assert quantized.to("meta")(x.to("meta")).device.type == "meta"
    assert quantized.device.type == "meta"
    assert before.device.type == "cpu"


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_a_library_that_is_told_to_be_imprecise_does_not_change_a_code(
    precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(48, 3)), torch.randn(2, 2, 6, 6)
    plan = plan_of(model, x, word_length=11)
    quantized = quantize(model, plan)
    expected = codes_of(quantized, plan, x)
    monkeypatch.setattr(torch.backends, "fp32_precision", precision)
    found = codes_of(quantized, plan, x)
    for row, codes in expected.items():
        np.testing.assert_array_equal(found[row], codes, err_msg=row)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_models_float_type_does_not_change_a_code(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3)).to(dtype)
    x = torch.randn(4, 8).to(dtype)
    plan = plan_of(model, x)
    quantized = quantize(model, plan)
    assert quantized(x).dtype == dtype
    found = codes_of(quantized, plan, x)
    for row, codes in sequential_codes(model, Parts(quantized, plan), x.double().numpy()).items():
        np.testing.assert_array_equal(found[row], codes, err_msg=row)


def test_outputs_that_the_models_float_type_does_not_hold_are_given_in_float64() -> None:
    model, x = nn.Linear(3, 2), torch.randn(4, 3)
    plan = plan_of(model, x, word_length=8, formats={"linear": FixedPoint(32, 24)})
    assert quantize(model, plan)(x).dtype == torch.float64


def test_it_stays_in_eval_mode_and_gives_no_gradients() -> None:
    model = nn.Sequential(nn.Linear(3, 2))
    quantized = quantize(model, plan_of(model, torch.randn(4, 3))).train()
    assert not quantized.training
    assert not quantized(torch.randn(2, 3, requires_grad=True)).requires_grad


# Bad input


def test_a_plan_of_another_network_is_refused_by_name() -> None:
    plan = plan_of(nn.Sequential(nn.Linear(4, 3)), torch.randn(2, 4))
    other = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    with pytest.raises(PlanError, match="they differ in '1.weight', '1.bias', '1'; calibrate"):
        quantize(other, plan)


def test_a_plan_without_a_calibration_is_refused(tmp_path: Any) -> None:
    model = nn.Linear(4, 3)
    plan_of(model, torch.randn(2, 4)).save(tmp_path / "plan.json")
    with pytest.raises(PlanError, match="calibration"):
        quantize(model, Plan.load(tmp_path / "plan.json"))


def test_inputs_of_another_shape_are_refused() -> None:
    model = nn.Conv2d(1, 2, 3)
    quantized = quantize(model, plan_of(model, torch.randn(2, 1, 8, 8)))
    with pytest.raises(DataError, match=r"\(any, 1, 8, 8\)"):
        quantized(torch.randn(2, 1, 9, 9))


def test_drafts_do_not_count() -> None:
    model, x = nn.Sequential(nn.Linear(4, 3)), torch.randn(2, 4)
    plan = plan_of(model, x)
    before = quantize(model, plan)(x)
    plan["0"] = FixedPoint(2, -6)
    assert torch.equal(quantize(model, plan)(x), before)
