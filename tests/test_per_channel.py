import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qwidgets.calibration import Calibration, calibrate
from qwidgets.errors import DataError, FormatError
from qwidgets.formats import ACCUMULATOR, OVERFLOWS, ROUNDINGS, FixedPoint, PerChannel
from qwidgets.histograms import BitHistogram
from qwidgets.plan import Plan
from qwidgets.schemes import SPREAD, least_squares, mse
from qwidgets.simulation import quantize

WIDE = FixedPoint.from_window(3, -3)
FINE = FixedPoint.from_window(-1, -7)


def network() -> torch.nn.Sequential:
    torch.manual_seed(0)
    first = torch.nn.Conv2d(3, 6, 3)
    model = torch.nn.Sequential(
        first,
        torch.nn.ReLU6(),
        torch.nn.Conv2d(6, 6, 3, groups=6),
        torch.nn.Flatten(),
        torch.nn.Linear(96, 5),
    )
    with torch.no_grad():
        first.weight.mul_(torch.tensor([1, 2, 30, 0.01, 0.1, 5]).reshape(-1, 1, 1, 1))
    return model.eval()


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    generator = torch.Generator().manual_seed(1)
    return calibrate(network(), [torch.randn(4, 3, 8, 8, generator=generator)], progress=False)


@pytest.fixture
def plan(calibration: Calibration) -> Plan:
    return calibration.propose(per_channel=True)


@given(
    word_length=st.integers(2, 12),
    lengths=st.lists(st.integers(-6, 12), min_size=1, max_size=5),
    rounding=st.sampled_from(ROUNDINGS),
    overflow=st.sampled_from(OVERFLOWS),
)
def test_each_channel_is_quantized_by_its_own_format(
    word_length: int, lengths: list[int], rounding: str, overflow: str
) -> None:
    fmt = PerChannel(word_length, tuple(lengths), True, rounding, overflow)
    values = np.random.default_rng(0).normal(size=(len(lengths), 7)) * 20
    rows = [FixedPoint(word_length, length, True, rounding, overflow) for length in lengths]
    np.testing.assert_array_equal(fmt.quantize(values), [f.quantize(v) for f, v in zip(rows, values, strict=True)])
    codes = fmt.to_integer(torch.from_numpy(values))
    assert codes.dtype == torch.int64
    np.testing.assert_array_equal(fmt.from_integer(codes).numpy(), fmt.quantize(values))


def test_channels_may_differ_in_their_windows_only() -> None:
    with pytest.raises(FormatError, match="channel 1"):
        PerChannel.of([WIDE, FixedPoint(9, 3)])
    with pytest.raises(FormatError, match="channel 1"):
        PerChannel.of([WIDE, FixedPoint(8, 3, signed=False)])
    with pytest.raises(FormatError, match="at least one"):
        PerChannel(8, ())
    with pytest.raises(FormatError, match="fraction_length"):
        PerChannel(8, (3, 100_000))


def test_values_without_these_channels_are_refused() -> None:
    fmt = PerChannel.of([WIDE, FINE])
    with pytest.raises(DataError, match="2 channels"):
        fmt.quantize(torch.zeros(3, 2))
    with pytest.raises(DataError, match="tensor"):
        fmt.quantize(1.0)  # type: ignore[type-var]


def test_one_channel_is_edited_alone(plan: Plan) -> None:
    before = plan["0.weight"]
    assert isinstance(before, PerChannel)
    plan["0.weight"] = before.with_channel(3, WIDE)
    after = plan["0.weight"]
    assert isinstance(after, PerChannel)
    assert after[3] == WIDE
    assert [f for i, f in enumerate(after) if i != 3] == [f for i, f in enumerate(before) if i != 3]
    assert list(plan.drafts) == ["0.weight"]
    plan.undo()
    assert plan["0.weight"] == before


def test_a_channel_that_is_not_there_is_named() -> None:
    with pytest.raises(FormatError, match="no channel 2"):
        PerChannel.of([WIDE, FINE]).with_channel(2, WIDE)


def test_the_preview_counts_what_brute_force_counts(plan: Plan, calibration: Calibration) -> None:
    lengths = (3, 5, 0, 12, 4, 9)
    for signed in (True, False):
        fmt = PerChannel(6, lengths, signed)
        values = calibration.values("0.weight").double().numpy()
        under = over = 0
        squares = 0.0
        for channel, one in zip(values, fmt, strict=True):
            wide = FixedPoint(32, one.fraction_length).quantize(channel)
            outside = (wide < one.min) | (wide > one.max)
            over += int(outside.sum())
            under += int(((wide == 0) & (channel != 0)).sum())
            squares += float(((one.quantize(channel) - channel) ** 2).sum())
        seen = plan.preview("0.weight", fmt)
        assert seen is not None
        assert (seen.count, seen.underflow, seen.overflow, seen.exact) == (values.size, under, over, True)
        assert under
        assert over
        assert seen.mse == pytest.approx(squares / values.size)
        assert seen.sqnr_db == pytest.approx(10 * np.log10((values**2).sum() / squares))


def test_a_format_per_channel_that_is_the_same_for_all_previews_as_one_for_the_tensor(plan: Plan) -> None:
    whole, each = plan.preview("4.weight", FINE), plan.preview("4.weight", PerChannel.of([FINE] * 5))
    assert whole is not None
    assert each is not None
    assert (whole.underflow, whole.overflow) == (each.underflow, each.overflow)


def test_least_squares_chooses_the_window_that_brute_force_finds_best() -> None:
    values = (
        torch.randn(40, 9, generator=torch.Generator().manual_seed(3)).double() * torch.logspace(-1, 2, 40)[:, None]
    )
    for channel, chosen in zip(values, least_squares(values), strict=True):
        candidates = [FixedPoint(8, length) for length in range(-12, 30)]
        errors = [float((fmt.quantize(channel) - channel).square().sum()) for fmt in candidates]
        assert float((chosen.quantize(channel) - channel).square().sum()) == min(errors)
        assert chosen.fraction_length == mse(BitHistogram().update(channel), 8, True).fraction_length


def test_no_window_lies_so_far_below_the_others_that_the_bias_would_overflow_its_accumulator() -> None:
    values = torch.tensor([[100.0, 3.0], [1e-9, -1e-9], [1.0, 0.5]])
    loud, dead, quiet = least_squares(values).fraction_lengths
    assert (loud, quiet, dead) == (0, 1, SPREAD)


def test_a_proposal_per_channel_leaves_other_tensors_their_one_window(plan: Plan, calibration: Calibration) -> None:
    assert isinstance(plan["0.weight"], PerChannel)
    assert isinstance(plan["2.weight"], PerChannel)
    assert plan["0.bias"] == ACCUMULATOR
    assert plan["0"] == calibration.propose()["0"]


def test_any_scheme_proposes_per_channel(calibration: Calibration) -> None:
    fmt = calibration.propose(scheme="minmax", per_channel=True)["0.weight"]
    assert isinstance(fmt, PerChannel)
    for channel, values in zip(fmt, calibration.values("0.weight"), strict=True):
        assert channel.min - channel.step / 2 <= values.min() <= values.max() < channel.max + channel.step / 2


def test_what_cannot_have_a_format_per_channel_says_why(plan: Plan) -> None:
    with pytest.raises(FormatError, match="'0' cannot have formats per channel: only weights"):
        plan["0"] = PerChannel.of([WIDE] * 6)
    with pytest.raises(FormatError, match="6 output channels, and there are formats for 2"):
        plan["0.weight"] = PerChannel.of([WIDE] * 2)
    with pytest.raises(FormatError, match="'0.weight' cannot have the format 'accumulator'"):
        plan["0.weight"] = "accumulator"
    assert not plan.drafts


def test_the_table_says_how_many_channels_there_are(plan: Plan) -> None:
    table = plan.table()
    assert str(table.loc["0.weight", "window"]).endswith("(6 channels)")
    assert table.loc["0.bias", "window"] == "accumulator"
    assert table.loc["0.bias", "word_length"] == 32


def test_plans_that_differ_in_one_channel_differ(plan: Plan, calibration: Calibration) -> None:
    other = calibration.propose(per_channel=True)
    fmt = other["0.weight"]
    assert isinstance(fmt, PerChannel)
    assert plan.diff(other).empty
    other["0.weight"] = fmt.with_channel(0, fmt[1])
    assert list(plan.diff(other).index) == ["0.weight"]


def test_formats_per_channel_and_at_the_accumulator_survive_a_file(
    plan: Plan, calibration: Calibration, tmp_path: object
) -> None:
    path = f"{tmp_path}/plan.json"
    plan["0.bias"] = "2^3 … 2^-12"
    plan.commit()
    plan.save(path)
    back = Plan.load(path, calibration)
    assert dict(back.committed) == dict(plan.committed)
    assert back.history == plan.history


def test_layers_compute_with_formats_per_channel_as_exact_arithmetic_does(plan: Plan) -> None:
    model = network()
    quantized = quantize(model, plan)
    assert not quantized.float_islands
    seen: dict[str, torch.Tensor] = {}
    x = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    quantized.run((x,), {}, lambda row, values: seen.update({row: values.double()}))

    def parameter(row: str, lsb: torch.Tensor) -> torch.Tensor:
        codes = quantized.codes[row].double()
        return codes * torch.exp2(lsb).reshape(-1, *[1] * (codes.ndim - 1))

    def steps(row: str, source: str) -> tuple[torch.Tensor, torch.Tensor]:
        weight, fmt = plan[f"{row}.weight"], plan[source]
        assert isinstance(weight, PerChannel)
        assert isinstance(fmt, FixedPoint)
        lsb = -torch.tensor(weight.fraction_lengths).double()
        return parameter(f"{row}.weight", lsb), parameter(f"{row}.bias", lsb + fmt.lsb)

    sums = {
        "0": torch.nn.functional.conv2d(seen["input"], *steps("0", "input")).clamp(0, 6),
        "2": torch.nn.functional.conv2d(seen["0"], *steps("2", "0"), groups=6),
        "4": torch.nn.functional.linear(seen["2"].flatten(1), *steps("4", "2")),
    }
    for row, expected in sums.items():
        fmt = plan[row]
        assert isinstance(fmt, FixedPoint)
        assert torch.equal(fmt.quantize(expected), seen[row])


def test_a_bias_at_the_accumulator_stays_in_float_where_its_layer_does(plan: Plan) -> None:
    plan["0.weight"] = None
    plan.commit()
    assert quantize(network(), plan).float_islands["0"] == "conv2d reads 0.weight and 0.bias in float"


def test_the_weights_of_a_calibration_survive_its_file(calibration: Calibration, tmp_path: object) -> None:
    path = f"{tmp_path}/calibration.safetensors"
    calibration.save(path)
    back = Calibration.load(path)
    assert all(torch.equal(back.values(name), values) for name, values in calibration.parameters.items())
    assert back.propose(per_channel=True).committed == calibration.propose(per_channel=True).committed
