"""Every notation, read and written."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwidgets.errors import FormatError
from qwidgets.formats import OVERFLOWS, ROUNDINGS, FixedPoint
from qwidgets.formats.fixed_point import NOTATIONS

S8 = FixedPoint(8, 3)
U8 = FixedPoint(8, 4, signed=False)


@st.composite
def formats(draw: st.DrawFn) -> FixedPoint:
    signed = draw(st.booleans())
    return FixedPoint(
        draw(st.integers(1 + signed, 32)),
        draw(st.integers(-512, 512)),
        signed,
        draw(st.sampled_from(ROUNDINGS)),
        draw(st.sampled_from(OVERFLOWS)),
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("numerictype(1,8,3)", S8),
        ("numerictype( 0 , 8 , 4 )", U8),
        ("numerictype (1, 8, -2)", FixedPoint(8, -2)),
        ("fixdt(1,8,3)", S8),
        ("FixDT(0, 8, 4)", U8),
        ("ap_fixed<8,5,AP_RND_INF,AP_SAT>", S8),
        ("ap_ufixed<8,4,AP_RND_INF,AP_SAT>", U8),
        (" ap_fixed < 8 , 5 , ap_rnd_inf , ap_sat > ", S8),
        ("ap_fixed<8,5>", FixedPoint(8, 3, rounding="floor", overflow="wrap")),
        ("ap_fixed<8,5,AP_RND>", FixedPoint(8, 3, rounding="half_up", overflow="wrap")),
        ("ap_fixed<8,5,AP_RND_CONV,AP_WRAP>", FixedPoint(8, 3, rounding="half_even", overflow="wrap")),
        ("ap_fixed<8,5,AP_TRN,AP_SAT>", FixedPoint(8, 3, rounding="floor")),
        ("ap_fixed<8,5,AP_TRN_ZERO,AP_SAT>", FixedPoint(8, 3, rounding="zero")),
        ("ap_fixed<8,-2,AP_RND_INF,AP_SAT>", FixedPoint(8, 10)),
        ("ap_ufixed<8,12,AP_RND_INF,AP_SAT>", FixedPoint(8, -4, signed=False)),
        ("Q4.3", S8),
        ("q 4.3", S8),
        ("UQ4.4", U8),
        ("Q-3.10", FixedPoint(8, 10)),
        ("Q9.-2", FixedPoint(8, -2)),
        ("sfix8_En3", S8),
        ("ufix8_En4", U8),
        ("SFIX8_EN3", S8),
        ("sfix8_E2", FixedPoint(8, -2)),
        ("sfix8", FixedPoint(8, 0)),
        ("ufix1", FixedPoint(1, 0, signed=False)),
        ("2^3 … 2^-3", S8),
        ("2^3..2^-3", S8),
        ("2^3...2^-3 signed", S8),
        ("2 ^ 3 … 2 ^ \N{MINUS SIGN}4 unsigned", U8),
        ("2^3\N{NO-BREAK SPACE}…\N{NO-BREAK SPACE}2^-3", S8),
        ("2^12 … 2^6", FixedPoint(8, -6)),
    ],
)
def test_a_text_is_read_as(text: str, expected: FixedPoint) -> None:
    assert FixedPoint.parse(text) == expected


@pytest.mark.parametrize(
    ("fmt", "texts"),
    [
        (S8, ["numerictype(1,8,3)", "fixdt(1,8,3)", "ap_fixed<8,5,AP_RND_INF,AP_SAT>", "Q4.3", "sfix8_En3"]),
        (U8, ["numerictype(0,8,4)", "fixdt(0,8,4)", "ap_ufixed<8,4,AP_RND_INF,AP_SAT>", "UQ4.4", "ufix8_En4"]),
        (
            FixedPoint(16, -2, True, "half_even", "wrap"),
            ["numerictype(1,16,-2)", "fixdt(1,16,-2)", "ap_fixed<16,18,AP_RND_CONV,AP_WRAP>", "Q17.-2", "sfix16_E2"],
        ),
        (
            FixedPoint(8, 0, False, "half_up", "wrap"),
            ["numerictype(0,8,0)", "fixdt(0,8,0)", "ap_ufixed<8,8,AP_RND,AP_WRAP>", "UQ8.0", "ufix8"],
        ),
    ],
)
def test_a_format_is_written_as(fmt: FixedPoint, texts: list[str]) -> None:
    assert [fmt.notation(style) for style in NOTATIONS] == texts


@given(formats(), st.sampled_from([style for style in NOTATIONS if style != "ap_fixed"]))
def test_what_is_written_is_read_back_as_the_same_window(fmt: FixedPoint, style: str) -> None:
    back = FixedPoint.parse(fmt.notation(style))
    assert back == FixedPoint(fmt.word_length, fmt.fraction_length, fmt.signed)
    assert FixedPoint.parse(str(fmt)) == back


@given(formats().filter(lambda fmt: fmt.rounding not in ("ceil", "double")))
def test_ap_fixed_carries_everything(fmt: FixedPoint) -> None:
    assert FixedPoint.parse(fmt.notation("ap_fixed")) == fmt


def test_ap_fixed_cannot_say_ceil() -> None:
    with pytest.raises(FormatError, match="ap_fixed has no rounding mode 'ceil'; it has half_away, "):
        FixedPoint(8, 3, rounding="ceil").notation("ap_fixed")


@pytest.mark.parametrize("style", ["Q", "matlab", None, 3])
def test_a_style_that_does_not_exist(style: Any) -> None:
    with pytest.raises(FormatError, match="style must be one of 'numerictype', 'fixdt', 'ap_fixed', 'q', 'sfix', not "):
        S8.notation(style)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "int8",
        "Q4",
        "Q\N{ARABIC-INDIC DIGIT FOUR}.3",
        f"Q{'9' * 5000}.3",
        "numerictype(1,8)",
        "numerictype(2,8,3)",
        "fixdt(1,8,3.5)",
        "ap_fixed<8>",
        "sfix8_3",
        "2^3",
        "2^3 … 2^-3 maybe",
        "<script>alert(1)</script>",
    ],
)
def test_a_text_in_no_notation_is_quoted_beside_examples(text: str) -> None:
    with pytest.raises(FormatError) as caught:
        FixedPoint.parse(text)
    assert str(caught.value).startswith(f"cannot read the format {text!r}; examples of what is understood: ")
    assert "ap_fixed<8,5,AP_RND_INF,AP_SAT>" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ap_fixed<8,5,AP_RND_ZERO>", "AP_RND_ZERO is not supported; choose one of AP_RND_INF, "),
        ("ap_fixed<8,5,AP_RND,AP_SAT_SYM>", "AP_SAT_SYM is not supported; choose one of AP_SAT, AP_WRAP"),
        ("sfix64", "word_length must be an integer from 2 to 32 for a signed format, not 64"),
        ("Q0.0", "word_length must be an integer from 2 to 32 for a signed format, not 1"),
        ("2^-3 … 2^3", "word_length must be"),
        ("sfix8_En600", "fraction_length must be an integer from -512 to 512, not 600"),
    ],
)
def test_a_format_that_makes_no_sense_is_quoted_beside_the_reason(text: str, reason: str) -> None:
    with pytest.raises(FormatError) as caught:
        FixedPoint.parse(text)
    assert str(caught.value).startswith(f"cannot read the format {text!r}: {reason}")


@pytest.mark.parametrize("given_", [None, 8, S8, b"Q4.3"])
def test_a_notation_is_text(given_: Any) -> None:
    with pytest.raises(FormatError, match=r"a notation is text, not .*; examples: numerictype\(1,8,3\)"):
        FixedPoint.parse(given_)
