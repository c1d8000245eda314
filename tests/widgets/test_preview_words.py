import math
import re

from qwidgets.histograms import Preview
from qwidgets.widgets.workbench.preview_words import figures


def preview(
    underflow: int = 0, overflow: int = 0, sqnr: float = 30.0, error: float = 0.5, exact: bool = True
) -> Preview:
    return Preview(1000, underflow, overflow, 0.01, sqnr, error, exact)


def lines(draft: Preview | None, committed: Preview | None) -> dict[str, list[str]]:
    page = figures(draft, committed, several=False, is_draft=True)
    rows = [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row) for row in re.findall(r"<tr>(.*?)</tr>", page)]
    return {row[0]: row[1:] for row in rows}


def test_counts_have_their_share_and_the_change_has_its_sign() -> None:
    said = lines(preview(underflow=380, overflow=2, sqnr=12.4), preview(underflow=30, sqnr=33.9))
    assert said["underflow"] == ["380 (38 %)", "30 (3 %)", "+350"]
    assert said["overflow"] == ["2 (0.2 %)", "0 (0 %)", "+2"]
    assert said["in range"] == ["618 (61.8 %)", "970 (97 %)", ""]
    assert said["SQNR"] == ["≈ 12.4 dB", "≈ 33.9 dB", "\u221221.5 dB"]


def test_what_is_no_different_is_not_talked_about() -> None:
    assert [line[2] for line in lines(preview(), preview()).values()] == ["change", *[""] * 5]


def test_bounds_say_that_they_are() -> None:
    said = lines(preview(underflow=10, exact=False), preview())
    assert said["underflow"] == ["at most 10 (1 %)", "0 (0 %)", "≈ +10"]
    assert said["in range"][0] == "at least 990 (99 %)"


def test_float_has_no_figures() -> None:
    assert lines(None, preview())["SQNR"] == ["float", "≈ 30.0 dB", ""]


def test_no_error_and_no_signal_can_be_told() -> None:
    assert lines(preview(sqnr=math.inf, error=0.0), preview(sqnr=math.nan))["SQNR"] == ["∞ dB", "–", ""]
