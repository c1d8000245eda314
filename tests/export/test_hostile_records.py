"""Names and notes that would be code in a page, a formula in a spreadsheet or no text at all are shown as they are."""

import csv
import json
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch
from torch import nn

from qwidgets import Plan, calibrate, export
from qwidgets.pictures import escaped
from qwidgets.widgets.controls import static_page
from tests.export.hostile_names import TEXTS, mixtures

KEPT = [text for text in TEXTS if len(text) < 1000]
LAYERS = [text for text in KEPT if text and not set(text) & set('"\\\n\r\0.\ud83d')]
"""What a layer can be called: PyTorch takes no dots, and cannot export the others."""
PIXEL = "data:image/png;base64,"


class Page(HTMLParser):
    """The elements and the text of a page, as a browser sees them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.attributes: set[str] = set()
        self.sources: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data


def plan_of(layers: list[str], kind: str = "Net") -> Plan:
    model = type(kind, (nn.Sequential,), {})()
    for layer in layers:
        model.add_module(layer, nn.Linear(2, 2))
    torch.manual_seed(0)
    return calibrate(model, [torch.randn(8, 2)], device="cpu", progress=False).propose(8, "minmax")


@pytest.fixture(scope="module")
def plan() -> Plan:
    """A plan whose network, layers, notes and author are all called something hostile."""
    made = plan_of(LAYERS, "</title><script>run()</script>")
    for number, text in enumerate(KEPT):
        made["input"] = f"ap_fixed<{8 + number % 2},4>"
        try:
            made.commit(text)
        except ValueError:  # half an emoji need not be taken for a note
            made.revert()
    return made


def notes(plan: Plan) -> list[str]:
    return [commit.note for commit in plan.history]


def test_a_record_gives_back_every_name_and_note(plan: Plan, tmp_path: Path) -> None:
    export.to_json(plan, tmp_path / "record.json")
    record = json.loads((tmp_path / "record.json").read_text(encoding="utf-8"))
    assert [entry["note"] for entry in record["history"]] == notes(plan)
    assert [tensor["name"] for tensor in record["tensors"]] == list(plan.names)
    assert record["network"]["name"] == plan.network


def test_no_cell_of_a_table_is_a_formula(plan: Plan, tmp_path: Path) -> None:
    export.to_csv(plan, tmp_path / "record.csv")
    with (tmp_path / "record.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["name"].removeprefix("'") for line in lines] == [name.removeprefix("'") for name in plan.names]
    texts = [line[column] for line in lines for column in ("name", "layer", "fused", "who", "note", "network")]
    assert not [text for text in texts if text[:1] in "=+-@\t\r\n" and text]
    assert {"'=1+1.weight", "'+1.weight", "'@SUM(A1).weight", "'\t=1+1.weight"} <= {line["name"] for line in lines}


@pytest.mark.parametrize("note", ["=1+1", "+1", "-1 dB", "@SUM(A1)", "\t=1+1", "'=1", "a\r\nb", 'a"b', "nul\0nul"])
def test_a_note_is_in_the_table_as_it_was_written(note: str, tmp_path: Path) -> None:
    plan = plan_of(["fc"])
    plan["input"] = None
    plan.commit(note)
    export.to_csv(plan, tmp_path / "record.csv")
    with (tmp_path / "record.csv").open(encoding="utf-8", newline="") as file:
        written = next(csv.DictReader(file))["note"]
    formula = note.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    assert written == (f"'{note}" if formula else note)


def test_a_report_has_the_elements_of_any_report_and_shows_every_name(plan: Plan, tmp_path: Path) -> None:
    plan.report(tmp_path / "report.html")
    plan_of(["fc"]).report(tmp_path / "plain.html")
    page, plain = (Page((tmp_path / name).read_text(encoding="utf-8")) for name in ("report.html", "plain.html"))
    assert page.elements <= plain.elements | {"ul", "li", "a", "strong"}
    assert page.attributes <= plain.attributes | {"href"}
    assert all(source.startswith((PIXEL, "#row-")) for source in page.sources)
    for text in [*LAYERS, *(note for note in notes(plan) if not set(note) & set("\r\ud83d")), plan.network]:
        assert text in page.text


def test_the_page_of_a_workbench_has_no_element_of_a_name(plan: Plan) -> None:
    page, plain = Page(static_page.page(plan)), Page(static_page.page(plan_of(["fc"])))
    assert page.elements <= plain.elements | {"b"}
    assert page.attributes <= plain.attributes | {"style"}
    assert all(source.startswith(PIXEL) for source in page.sources)


def test_text_in_a_page_is_itself_wherever_it_stands() -> None:
    for text in (*TEXTS, *mixtures(300)):
        seen = Page(f"<p title='{escaped(text)}' class=\"{escaped(text)}\">{escaped(text)}</p>")
        assert (seen.elements, seen.attributes) == ({"p"}, {"title", "class"})
        assert seen.text == text.replace("\0", "�").replace("\ud83d", "�")
        escaped(text).encode("utf-8")


def test_half_an_emoji_can_be_written_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of(["fc"])
    monkeypatch.setattr(plan, "network", "half \ud83d")
    export.to_json(plan, tmp_path / "record.json")
    export.to_csv(plan, tmp_path / "record.csv")
    plan.report(tmp_path / "report.html")
    assert json.loads((tmp_path / "record.json").read_bytes())["network"]["name"] == "half \ud83d"
    assert all("half \\ud83d" in path.read_text(encoding="utf-8") for path in tmp_path.iterdir())
