"""The report, opened as its reader opens it: in a browser without a network, light, dark and on paper."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from playwright.sync_api import Browser, Page
from torch import Tensor, nn

from qwidgets import examples
from qwidgets.calibration import Calibration, calibrate
from qwidgets.errors import FileError, PlanError
from qwidgets.formats import FixedPoint, PerChannel
from qwidgets.plan import Plan
from qwidgets.validation import validate
from tests.loud_and_quiet import loud_and_quiet
from tests.waiting import LONG

EXAMPLE = examples.digits()
HOSTILE = "<img src=x onerror='run()'><script>run()</script>&amp;"


class Named(nn.Module):
    """A network whose names are HTML."""

    def __init__(self) -> None:
        super().__init__()
        self.add_module(HOSTILE, nn.Linear(4, 2))

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = getattr(self, HOSTILE)(x)
        return result


Named.__name__ = HOSTILE


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    return calibrate(EXAMPLE.model, EXAMPLE.calibration, device="cpu", progress=False)


@pytest.fixture
def plan(calibration: Calibration) -> Plan:
    """One with something to look at: a window that lies too high, a bound, a tensor in float, a lock."""
    plan = calibration.propose(8)
    plan.draft(
        {
            "blocks.2.conv2.weight": FixedPoint(8, 1),
            "blocks.2.add": FixedPoint(4, 3, False, "half_even", "wrap"),
            "classifier": None,
        }
    )
    plan.commit("too coarse on purpose")
    plan.lock("input")
    return plan


class Opened:
    """A report in a browser that has no network, and all that it asked for or complained of."""

    def __init__(self, browser: Browser, path: Path, **context: Any) -> None:
        self.page: Page = browser.new_context(offline=True, **context).new_page()
        self.page.set_default_timeout(LONG * 1000)
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(path.as_uri())
        self.page.wait_for_load_state("networkidle")

    def row(self, name: str) -> list[str]:
        """The texts of a tensor's cells, from its format on."""
        rows = self.page.locator(".tensors tbody tr")
        (found,) = [row for row in rows.all() if row.locator(".name").first.inner_text() == name]
        return [re.sub(r"\s+", " ", text) for text in found.locator("td").all_inner_texts()]


def opened(browser: Browser, plan: Plan, folder: Path, validation: pd.DataFrame | None = None) -> Opened:
    plan.report(folder / "report.html", validation)
    return Opened(browser, folder / "report.html")


def test_it_is_one_file_that_asks_for_nothing_and_runs_nothing(browser: Browser, plan: Plan, tmp_path: Path) -> None:
    report = opened(browser, plan, tmp_path)
    assert [url for url in report.asked if not url.startswith("data:image/png")] == [
        (tmp_path / "report.html").as_uri()
    ]
    assert not report.complaints
    assert report.page.locator("script").count() == 0
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_every_tensor_has_its_committed_figures(browser: Browser, plan: Plan, tmp_path: Path) -> None:
    report = opened(browser, plan, tmp_path)
    names = report.page.locator(".tensors tbody th > .name").all_inner_texts()
    assert names == list(plan.names)
    preview = plan.committed_preview("blocks.2.conv2.weight")
    assert preview is not None
    coarse = report.row("blocks.2.conv2.weight")
    assert coarse[0] == "2^5 … 2^-1 signed 8"
    assert coarse[2] == "9,216"
    assert coarse[3] == f"▲ {100 * preview.underflow / preview.count:.3g} %"
    assert coarse[-1] == "too coarse on purpose"
    bound = report.row("blocks.2.add")
    assert "half_even, wraps" in bound[0]
    assert bound[3].startswith("≤ ") and bound[4].startswith("▲ ≤ ")
    assert report.row("classifier")[0].strip() == "float"


def test_what_stands_out_is_marked_by_more_than_its_colour(browser: Browser, plan: Plan, tmp_path: Path) -> None:
    page = opened(browser, plan, tmp_path).page
    severe = page.locator(".tensors td.severe")
    assert severe.count() >= 3
    assert all(text.startswith("▲") for text in severe.all_inner_texts())
    grounds = {
        page.locator(f".tensors td.{kind}").first.evaluate("cell => getComputedStyle(cell).backgroundColor")
        for kind in ("severe", "notable", "format")
    }
    assert len(grounds) == 3
    link = page.get_by_role("link", name="blocks.2.conv2.weight")
    link.click()
    assert page.locator("tr:target .name").first.inner_text() == "blocks.2.conv2.weight"


def test_each_row_of_the_heat_map_shows_where_the_values_lie(browser: Browser, plan: Plan, tmp_path: Path) -> None:
    page = opened(browser, plan, tmp_path).page
    strips = page.locator("img.strip")
    assert strips.count() == len(plan)
    sizes = strips.evaluate_all("images => images.map(image => [image.complete, image.naturalWidth])")
    assert {tuple(size) for size in sizes} == {(True, sizes[0][1])}
    assert sizes[0][1] > 0
    shown = page.locator(".axis span").all_inner_texts()
    assert "0" in shown and len(shown) >= 3


def test_the_validation_is_shown_beside_the_formats_it_was_made_for(
    browser: Browser, plan: Plan, tmp_path: Path
) -> None:
    validation = validate(EXAMPLE.model, plan, EXAMPLE.test)
    report = opened(browser, plan, tmp_path, validation)
    text = report.page.locator("main section").first.inner_text()
    assert f"{validation['quantized']['top1']:.6g}" in text
    assert f"{validation['quantized_bytes']['DigitsNet']:,}" in text
    assert report.row("stem.0")[6] == f"{validation['sqnr_db']['stem.0']:.1f} dB"


def test_names_full_of_html_are_shown_and_not_run(browser: Browser, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Named()
    plan = calibrate(model, [torch.randn(8, 4)], device="cpu", progress=False).propose(8)
    plan[f"{HOSTILE}.weight"] = FixedPoint(8, 2)
    plan.commit(f"note {HOSTILE}")
    plan[f"{HOSTILE}.bias"] = FixedPoint(8, 2)
    report = opened(browser, plan, tmp_path, validate(model, plan, [torch.randn(8, 4)]))
    assert report.page.title() == f"{HOSTILE}: number formats"
    assert report.page.locator("h1").inner_text() == HOSTILE
    assert report.row(f"{HOSTILE}.weight")[-1] == f"note {HOSTILE}"
    assert report.page.locator("script, img:not(.strip)").count() == 0
    assert not report.complaints


def test_the_history_and_the_adjustments_are_told(browser: Browser, tmp_path: Path) -> None:
    model = loud_and_quiet(EXAMPLE.model)
    plan = calibrate(model, EXAMPLE.calibration, device="cpu", progress=False).propose(8, per_channel=True)
    plan.equalize(EXAMPLE.calibration, progress=False)
    plan.propose(4, names=[name for name in plan if name.endswith("weight")], per_channel=True)
    plan.commit("coarse weights")
    plan.correct_bias(EXAMPLE.calibration, progress=False)
    plan.round_adaptively(EXAMPLE.calibration, progress=False)
    (rounded, *_), (shifted, *_) = plan.adjustments.roundings, plan.adjustments.shifts
    weight = plan.committed[rounded]
    assert isinstance(weight, PerChannel)
    plan[rounded] = dataclasses.replace(weight, fraction_lengths=tuple(n - 1 for n in weight.fraction_lengths))
    plan.commit("coarser")
    page = opened(browser, plan, tmp_path).page
    adjusted = page.locator("section", has=page.get_by_role("heading", name="Adjustments")).inner_text()
    assert re.search(rf"{re.escape(rounded)}\s+channels multiplied by .* \(not in force", adjusted)
    assert re.search(rf"{re.escape(shifted)}\s+.*shifted by up to", adjusted)
    notes = page.locator(".history strong").all_inner_texts()
    assert notes == [commit.note for commit in reversed(plan.history)]
    assert "and 9 more" in page.locator(".history tr").last.inner_text()


def test_drafts_are_left_out_and_that_is_said(browser: Browser, plan: Plan, tmp_path: Path) -> None:
    committed = opened(browser, plan, tmp_path).row("stem.0")
    plan["stem.0"] = FixedPoint(8, 0)
    report = opened(browser, plan, tmp_path)
    assert "1 draft left out." in report.page.locator(".warning").inner_text()
    assert "stem.0" in report.page.locator(".warning").inner_text()
    assert report.row("stem.0") == committed


def test_it_is_readable_in_light_and_dark(browser: Browser, plan: Plan, tmp_path: Path) -> None:
    plan.report(tmp_path / "report.html")
    for scheme, dark in (("light", False), ("dark", True)):
        page = Opened(browser, tmp_path / "report.html", color_scheme=scheme).page
        pairs = page.evaluate(
            """() => [document.body, ...document.querySelectorAll("td.severe, td.notable, .quiet, a")].map(element => {
                let ground = element;
                while (getComputedStyle(ground).backgroundColor === "rgba(0, 0, 0, 0)") ground = ground.parentElement;
                return [getComputedStyle(element).color, getComputedStyle(ground).backgroundColor];
            })"""
        )
        assert (_luminance(pairs[0][1]) < 0.1) == dark
        for text, ground in {tuple(pair) for pair in pairs}:
            brighter, darker = sorted((_luminance(text), _luminance(ground)), reverse=True)
            assert (brighter + 0.05) / (darker + 0.05) >= 4.5, (scheme, text, ground)  # WCAG 2.2, AA


def _luminance(colour: str) -> float:
    channels = (int(part) / 255 for part in re.findall(r"\d+", colour)[:3])
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_nothing_is_cut_off_on_a_narrow_screen_or_on_paper(browser: Browser, plan: Plan, tmp_path: Path) -> None:
    plan.report(tmp_path / "report.html", validate(EXAMPLE.model, plan, EXAMPLE.test))
    page = Opened(browser, tmp_path / "report.html", viewport={"width": 1024, "height": 800}).page
    overhang = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(overhang) <= 0
    page.emulate_media(media="print")
    assert page.evaluate(overhang) <= 0
    assert page.locator(".tensors thead").evaluate("head => getComputedStyle(head).display") == "table-header-group"
    paper = page.pdf(prefer_css_page_size=True)
    assert paper.startswith(b"%PDF")
    (width, height), *others = {
        tuple(map(float, box)) for box in re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", paper)
    }
    assert (round(width / 72 * 25.4), round(height / 72 * 25.4)) == (297, 210)
    assert not others


def test_a_plan_of_which_nothing_was_committed_has_a_report(
    browser: Browser, calibration: Calibration, tmp_path: Path
) -> None:
    report = opened(browser, Plan(calibration), tmp_path)
    assert "0 of 21 tensors stand out" in report.page.inner_text("body")
    assert "Nothing was committed yet" in report.page.inner_text("body")


# What is refused


def test_a_plan_without_calibration_says_so(plan: Plan, tmp_path: Path) -> None:
    plan.save(tmp_path / "plan.json")
    with pytest.raises(PlanError, match=r"no calibration; Plan.load\(path, calibration\)"):
        Plan.load(tmp_path / "plan.json").report(tmp_path / "report.html")
    assert [path.name for path in tmp_path.iterdir()] == ["plan.json"]


def test_a_validation_of_other_formats_or_another_network_is_refused(plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("old")
    validation = validate(EXAMPLE.model, plan, EXAMPLE.test)
    plan["stem.0"] = FixedPoint(8, 1)
    plan.commit("after it was validated")
    with pytest.raises(PlanError, match=r"'stem.0' was validated as .* and is committed as 2\^5 … 2\^-1; validate"):
        plan.report(tmp_path / "report.html", validation)
    with pytest.raises(PlanError, match="of another network than DigitsNet"):
        plan.report(tmp_path / "report.html", validation.drop("stem.0"))
    with pytest.raises(PlanError, match="not what validate"):
        plan.report(tmp_path / "report.html", plan.table())
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_a_folder_that_cannot_be_written_to_is_named(plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="file/report.html: Not a directory; choose a folder"):
        plan.report(tmp_path / "file" / "report.html")
