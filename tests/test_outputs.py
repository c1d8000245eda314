"""A network with several outputs is as good as the worst of them, in every place that judges one."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from qwidgets.calibration import calibrate
from qwidgets.export import write
from qwidgets.feeding import Fed
from qwidgets.formats import FixedPoint
from qwidgets.network import capture
from qwidgets.plan import Plan
from qwidgets.simulation import quantize
from qwidgets.validation import health, sensitivity, validate
from qwidgets.validation.float_reference import FloatReference
from qwidgets.validation.output_errors import OutputErrors


class Heads(nn.Module):
    """Boxes in pixels, scores between them and a count, and what no network computes."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.box, self.score = nn.Linear(16, 32), nn.Linear(32, 4), nn.Linear(32, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Any]]:
        h = torch.relu(self.body(x))
        return 100 * self.box(h), {"score": self.score(h), "nothing": None, "three": 3}


def heads() -> tuple[nn.Module, Plan, Tensor]:
    torch.manual_seed(0)
    model, x = Heads().eval(), torch.randn(64, 16)
    return model, calibrate(model, [x], device="cpu", progress=False).propose(8), x


def broken() -> tuple[nn.Module, Plan, Tensor]:
    model, plan, x = heads()
    plan["score.weight"] = "numerictype(1, 8, 0)"
    plan.commit()
    return model, plan, x


def by_hand(model: nn.Module, plan: Plan, x: Tensor) -> dict[str, float]:
    with torch.no_grad():
        (box, rest), (its_box, its_rest) = model(x), quantize(model, plan)(x)
    pairs = {"output[0]": (box, its_box), "output[1]['score']": (rest["score"], its_rest["score"])}
    return {
        name: 10 * math.log10(float(a.double().square().sum() / (a - b).double().square().sum()))
        for name, (a, b) in pairs.items()
    }


def test_the_table_has_a_row_for_each_output_and_the_network_is_as_the_worst() -> None:
    model, plan, x = broken()
    report, expected = validate(model, plan, x.split(20)), by_hand(model, plan, x)
    outputs = report[report["kind"] == "output"]
    assert outputs["sqnr_db"].to_dict() == pytest.approx(expected, rel=1e-5)
    assert report.loc["Heads", "sqnr_db"] == min(outputs["sqnr_db"]) < 5 < 25 < max(outputs["sqnr_db"])
    assert list(report["kind"][:3]) == ["network", "output", "output"]
    assert list(report.index[3:]) == list(plan.names)


def test_health_judges_by_the_worst_output_and_says_which_it_is() -> None:
    model, plan, x = heads()
    well = health(model, plan, [x])
    assert (well.word, list(well.outputs.index)) == ("fine", ["output[0]", "output[1]['score']"])
    model, plan, x = broken()
    found = health(model, plan, [x])
    assert found.word == "broken"
    assert found.outputs.to_dict() == pytest.approx(by_hand(model, plan, x), rel=1e-5)
    assert found.sqnr_db == found.outputs["output[1]['score']"] == found.outputs.min()
    assert found.rows.index[0] == "score.weight"
    assert f"output[1]['score'] {found.sqnr_db:.1f} dB" in str(found)


def test_sensitivity_tells_of_each_output_and_of_the_worst() -> None:
    model, plan, x = broken()
    report = sensitivity(model, plan, [x], names=["score.weight", "box.weight"], progress=False)
    each = report[["alone_output[0]_sqnr_db", "alone_output[1]['score']_sqnr_db"]]
    assert (report["alone_sqnr_db"] == each.min(axis=1)).all()
    assert each.loc["score.weight", "alone_output[0]_sqnr_db"] == math.inf  # the other head does not read it
    assert report["alone_sqnr_db"].idxmin() == report["without_sqnr_db"].idxmax() == "score.weight"
    assert report.attrs["sqnr_db"] == validate(model, plan, [x]).loc["Heads", "sqnr_db"]


def test_a_report_of_a_network_with_several_outputs_can_be_written(tmp_path: Any) -> None:
    model, plan, x = broken()
    report = validate(model, plan, [x])
    write(plan, tmp_path / "report.html", report)
    assert f"{float(report['sqnr_db']['Heads']):.1f}" in (tmp_path / "report.html").read_text(encoding="utf-8")


class OneOfFloats(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        return self.layer(x), None


def test_one_output_of_floats_has_no_row_of_its_own() -> None:
    model, x = OneOfFloats().eval(), torch.randn(20, 4)
    plan = calibrate(model, [x], device="cpu", progress=False).propose()
    assert list(validate(model, plan, [x])["kind"]) == ["network", *(row.kind for row in plan.rows)]
    assert health(model, plan, [x]).outputs.empty


@given(st.lists(st.tuples(st.floats(-40, 60), st.integers(-8, 8)), min_size=1, max_size=5), st.integers(0, 9))
@settings(max_examples=50, deadline=None, derandomize=True)
def test_each_output_has_the_sqnr_that_it_has_alone_whatever_the_scale_of_the_others(
    outputs: list[tuple[float, int]], seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    errors = OutputErrors()
    for _ in range(2):  # batches
        values = [10.0**scale * torch.randn(7, generator=generator).double() for _, scale in outputs]
        shares = [10 ** (-sqnr_db / 20) for sqnr_db, _ in outputs]
        # An error that is a share of each value, up and down in turn, has exactly that SQNR.
        signs = torch.tensor([1.0, -1, 1, -1, 1, -1, 1]).double()
        errors.add(values, [value * (1 + share * signs) for value, share in zip(values, shares, strict=True)])
    found = list(errors.sqnr_db.values())
    assert found == pytest.approx([sqnr_db for sqnr_db, _ in outputs], abs=1e-6)
    assert errors.worst.sqnr_db == min(found)


@pytest.mark.parametrize("wrong", [math.inf, math.nan])
def test_an_output_that_quantization_makes_infinite_or_no_number_is_the_worst(wrong: float) -> None:
    errors = OutputErrors()
    errors.add([torch.ones(4), torch.ones(4)], [torch.full((4,), 0.9), torch.tensor([1, 1, 1, wrong])])
    assert errors.sqnr_db["output[1]"] == errors.worst.sqnr_db == -math.inf


def test_an_output_that_is_nowhere_finite_in_float_is_not_judged() -> None:
    errors = OutputErrors()
    errors.add([torch.full((4,), -math.inf), torch.ones(4)], [torch.zeros(4), torch.full((4,), 0.9)])
    assert math.isnan(errors.sqnr_db["output[0]"])
    assert errors.worst.sqnr_db == pytest.approx(20)


def test_errors_of_half_floats_are_not_computed_in_half_floats() -> None:
    errors = OutputErrors()
    errors.add([torch.tensor([60000.0]).half()], [torch.tensor([-60000.0]).half()])
    assert errors.worst.sqnr_db == pytest.approx(-20 * math.log10(2), abs=1e-2)


def test_complex_outputs_are_judged_and_integers_are_not() -> None:
    errors = OutputErrors()
    errors.add((torch.tensor([3 + 4j]), torch.tensor([1])), (torch.tensor([3 + 4.5j]), torch.tensor([7])))
    assert errors.sqnr_db == {"output[0]": pytest.approx(20)}


def test_the_head_that_is_well_is_not_given_up_for_the_other() -> None:
    model, plan, x = heads()
    plan["score.weight"] = FixedPoint(8, 3)  # coarse: there is something to find
    plan.commit()
    before = by_hand(model, plan, x)
    plan.search([x], progress=False)
    plan.commit()
    after = by_hand(model, plan, x)
    assert min(after.values()) > min(before.values()) + 3
    assert after["output[0]"] > before["output[0]"] - 0.3


class Spectrum(nn.Module):
    """A complex output beside one that is masked with an infinity."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return torch.fft.rfft(x), x.masked_fill(x > 1, float("-inf"))


def test_the_noise_of_the_samples_adds_up_to_that_of_the_outputs() -> None:
    model, batches = Spectrum(), [torch.randn(5, 8), torch.randn(3, 8)]
    network = capture(model, (batches[0],))
    reference = FloatReference(None, network, [Fed((x,), {}, [x], None, index) for index, x in enumerate(batches)])
    given = [
        tuple(output + 0.01 * torch.randn(output.shape) for output in network.run((x,), {}, lambda *_: None))
        for x in batches
    ]
    noise = reference.noise_by_sample(given)
    assert noise.shape == (8,)
    assert float(noise.sum()) == pytest.approx(sum(reference.noise(given).values()))
    (fourier, _), x = given[0], batches[0]
    away = (fourier[2] - torch.fft.rfft(x)[2]).abs().square().sum().double()
    assert float(noise[2]) > float(away) / sum(float(torch.fft.rfft(x).abs().square().sum()) for x in batches) > 0
