"""What is told of each output channel of a weight equals what brute force counts."""

import numpy as np
import pytest
import torch

from qwidgets.calibration import Calibration, calibrate
from qwidgets.errors import DataError, PlanError
from qwidgets.formats import OVERFLOWS, ROUNDINGS, FixedPoint, PerChannel
from qwidgets.histograms import BitHistogram
from qwidgets.plan import Plan
from qwidgets.tuning import channel_counts
from tests.test_per_channel import network

VALUES = torch.randn(5, 3, 4, generator=torch.Generator().manual_seed(0)) * torch.logspace(-3, 2, 5).reshape(-1, 1, 1)


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    return calibrate(network(), [torch.randn(4, 3, 8, 8)], progress=False)


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("overflow", OVERFLOWS)
def test_each_channel_is_counted_as_brute_force_does(rounding: str, overflow: str) -> None:
    fmt = PerChannel(5, (9, 4, 2, 0, -2), True, rounding, overflow)
    table = channel_counts.effects(VALUES, fmt)
    for channel, one in enumerate(fmt):
        x = VALUES[channel].double()
        wide = FixedPoint(32, one.fraction_length, rounding=rounding).quantize(x)
        over = (wide < one.min) | (wide > one.max)
        quantized = one.quantize(x)
        row = table.loc[channel]
        assert row["overflow"] == int(over.sum())
        assert row["underflow"] == int(((quantized == 0) & (x != 0) & ~over).sum())
        assert row["mse"] == pytest.approx(float((quantized - x).square().mean()))
        assert row["max_error"] == float((quantized - x).abs().max())
        assert row["window"] == one.window
        assert row["exact"]
    assert table["overflow"].sum() > 0
    assert table["underflow"].sum() > 0


def test_the_channels_add_up_to_what_the_preview_says(calibration: Calibration) -> None:
    plan = calibration.propose(per_channel=True)
    table, preview = plan.channels("0.weight"), plan.preview("0.weight")
    assert preview is not None
    assert table[["count", "underflow", "overflow"]].sum().tolist() == [
        preview.count,
        preview.underflow,
        preview.overflow,
    ]
    assert table["max_error"].max() == preview.max_error
    assert (table["mse"] * table["count"]).sum() / preview.count == pytest.approx(preview.mse)


def test_values_that_are_not_finite_are_no_error_and_no_signal() -> None:
    values = torch.tensor([[np.nan, np.inf, 1.0], [0.0, 0.0, 0.0]])
    table = channel_counts.effects(values, FixedPoint(8, 6))
    assert table["overflow"].tolist() == [1, 0]
    assert table["underflow"].tolist() == [0, 0]
    assert table["mse"].tolist() == [0.0, 0.0]
    assert table["sqnr_db"][0] == np.inf
    assert np.isnan(table["sqnr_db"][1])


def test_bits_are_counted_as_the_histogram_counts_them() -> None:
    values = torch.cat([VALUES.flatten(1), torch.tensor([[0.0, torch.nan, torch.inf, 1e-42, -3.0]] * 5)], 1)
    counts = channel_counts.msb_counts(values)
    for channel in range(5):
        expected = BitHistogram().update(values[channel]).msb_counts()
        found = counts.loc[channel].to_dict()
        assert {bit: count for bit, count in found.items() if count} == expected[expected > 0].to_dict()
    assert channel_counts.msb_counts(torch.zeros(2, 3)).to_numpy().sum() == 0


def test_some_channels_can_be_asked_for_under_any_format(calibration: Calibration) -> None:
    plan = calibration.propose(per_channel=True)
    whole = plan.channels("0.weight", FixedPoint(4, 2))
    assert plan.channels("0.weight", FixedPoint(4, 2), [4, 1]).equals(whole.loc[[4, 1]])
    with pytest.raises(DataError, match="no channel 6: there are 6"):
        plan.channels("0.weight", only=[6])


@pytest.mark.parametrize(("name", "text"), [("input", "only weights"), ("0.bias", "only weights"), ("0.wait", "mean")])
def test_what_has_no_channels_is_refused_by_name(calibration: Calibration, name: str, text: str) -> None:
    plan = calibration.propose()
    with pytest.raises(PlanError, match=text):
        plan.channels(name)


def test_a_weight_in_float_has_no_channels_to_tell_of(calibration: Calibration) -> None:
    with pytest.raises(PlanError, match="stays in float"):
        Plan(calibration).channels("0.weight")
