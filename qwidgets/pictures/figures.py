"""Figures as people read them, and which of them deserve attention: the one judgement that every view and page shares.

Pure functions from numbers to text; nothing here knows of plans or widgets.
"""

import html
import math
import re
from typing import Literal

import pandas as pd

Severity = Literal["", "notable", "severe"]

BACKGROUNDS: dict[Severity, str] = {"notable": "rgba(230,159,0,0.26)", "severe": "rgba(213,94,0,0.5)"}

_UNWRITABLE = re.compile("[\\0\\ud800-\\udfff]")
"""Half an emoji, which no message to a browser can hold, and what no page can."""

LIMITS = {"underflow_percent": (10.0, 40.0), "overflow_percent": (0.1, 1.0), "sqnr_db": (20.0, 10.0)}
"""From where on a figure is notable, and severe. SQNR is bad when it is low."""


_POWER = re.compile(r"\^(-?\d+)")
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def severity_of(column: str, value: float) -> Severity:
    """How much attention a figure of the plan's table deserves.

    Examples
    --------
    >>> severity_of("sqnr_db", 12.0), severity_of("overflow_percent", 3.0), severity_of("underflow_percent", math.nan)
    ('notable', 'severe', '')
    """
    notable, severe = LIMITS[column]
    sign = 1 if severe > notable else -1
    if sign * value >= sign * severe:
        return "severe"
    return "notable" if sign * value >= sign * notable else ""


def problems(table: pd.DataFrame) -> "pd.Series[bool]":
    """Which rows of a plan's table have a figure that deserves attention."""
    flagged = pd.Series(data=False, index=table.index)
    for column in LIMITS:
        values = table[column].astype(float)
        flagged |= pd.Series([bool(severity_of(column, value)) for value in values], index=table.index)
    return flagged


def first_to_look_at(table: pd.DataFrame) -> tuple[str, str]:
    """The row of a plan's table that deserves attention most, and why; of equals the one with the lowest SQNR.

    Examples
    --------
    >>> columns = {"underflow_percent": [0.5, 21.0], "overflow_percent": [0.0, 0.0], "sqnr_db": [38.0, 24.0]}
    >>> first_to_look_at(pd.DataFrame(columns, index=["conv.weight", "conv"]))
    ('conv', '21 % of its values underflow')
    >>> first_to_look_at(pd.DataFrame(columns, index=["conv.weight", "conv"]).iloc[:1])
    ('conv.weight', 'its SQNR is the lowest, 38.0 dB, and no tensor has a problem')
    """
    figures = {str(name): {column: float(row[column]) for column in LIMITS} for name, row in table.iterrows()}
    sqnr = {name: math.inf if math.isnan(row["sqnr_db"]) else row["sqnr_db"] for name, row in figures.items()}
    severities: list[Severity] = ["severe", "notable"]
    for severity in severities:
        bad = {name: [c for c in LIMITS if severity_of(c, row[c]) == severity] for name, row in figures.items()}
        if any(bad.values()):
            name = min((name for name in bad if bad[name]), key=sqnr.__getitem__)
            return name, ", ".join(_WHY[column].format(number_text(figures[name][column])) for column in bad[name])
    name = min(sqnr, key=sqnr.__getitem__)
    return name, f"its SQNR is the lowest, {number_text(sqnr[name], 'dB')}, and no tensor has a problem"


_WHY = {
    "underflow_percent": "{} % of its values underflow",
    "overflow_percent": "{} % of its values overflow",
    "sqnr_db": "its SQNR is {} dB",
}


def superscript(text: str) -> str:
    """A window or a power as it is printed, with real superscripts.

    Examples
    --------
    >>> superscript("2^3 … 2^-3"), superscript("2^-1 … 2^-9 (2 channels)"), superscript("float")
    ('2³ … 2⁻³', '2⁻¹ … 2⁻⁹ (2 channels)', 'float')
    """
    return _POWER.sub(lambda power: power[1].translate(_RAISED), text)


def number_text(value: float, unit: str = "") -> str:
    """A figure as people read it: few digits, no exponent where none is needed.

    Examples
    --------
    >>> [number_text(value, "dB") for value in (12.4321, math.inf, math.nan, -0.01)]
    ['12.4 dB', '∞ dB', '–', '0.0 dB']
    >>> number_text(0.000012345)
    '1.23e-05'
    """
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        text = "∞" if value > 0 else "-∞"
    elif unit == "dB":
        text = f"{value:z.1f}"
    else:
        text = f"{value:z.3g}" if abs(value) < 1e6 else f"{value:.3e}"
    return f"{text} {unit}".strip()


def percent_text(part: int, whole: int) -> str:
    """A share as people read it: never 0 % of something, and never 100 % of not everything.

    Examples
    --------
    >>> percent_text(3, 8), percent_text(1, 1_000_000), percent_text(999_999, 1_000_000), percent_text(0, 5)
    ('37.5 %', '< 0.01 %', '> 99.99 %', '0 %')
    """
    if not part or not whole:
        return "0 %"
    share = 100 * part / whole
    if share < 0.01:
        return "< 0.01 %"
    if 99.99 < share < 100:
        return "> 99.99 %"
    return f"{share:.3g} %" if share < 99.95 else f"{share:.4g} %"


def escaped(text: object) -> str:
    r"""Text as part of a page: names come from users' models, and are shown, never run.

    Examples
    --------
    >>> escaped("<img onerror='run()'>"), escaped("half an emoji: \ud83d")
    ('&lt;img onerror=&#x27;run()&#x27;&gt;', 'half an emoji: �')
    """
    return html.escape(_UNWRITABLE.sub("\N{REPLACEMENT CHARACTER}", str(text)), quote=True)
