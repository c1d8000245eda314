"""How the tool chains write a fixed-point format, read and written as plain numbers.

Each notation is a pattern and the two translations between its text and `Fields`. Nothing here judges whether a format
makes sense, and nothing here does arithmetic: that is `qwidgets.formats.fixed_point`, which is what users call.
"""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from qwidgets.errors import FormatError


class Fields(NamedTuple):
    """What a notation says of a format; ``None`` where it does not say."""

    word_length: int
    fraction_length: int
    signed: bool
    rounding: str | None = None
    overflow: str | None = None


_AP_ROUNDINGS = {
    "AP_RND_INF": "half_away",
    "AP_RND_CONV": "half_even",
    "AP_RND": "half_up",
    "AP_TRN": "floor",
    "AP_TRN_ZERO": "zero",
}
_AP_OVERFLOWS = {"AP_SAT": "saturate", "AP_WRAP": "wrap"}


def _read_numerictype(match: re.Match[str]) -> Fields:
    sign, word_length, fraction_length = match.groups()
    return Fields(int(word_length), int(fraction_length), sign == "1")


def _read_ap_fixed(match: re.Match[str]) -> Fields:
    unsigned, word_length, integer_length, quantization, overflow = match.groups()
    quantization, overflow = (quantization or "AP_TRN").upper(), (overflow or "AP_WRAP").upper()
    for given, known in ((quantization, _AP_ROUNDINGS), (overflow, _AP_OVERFLOWS)):
        if given not in known:
            raise FormatError(f"{given} is not supported; choose one of {', '.join(known)}")
    return Fields(
        int(word_length),
        int(word_length) - int(integer_length),
        not unsigned,
        _AP_ROUNDINGS[quantization],
        _AP_OVERFLOWS[overflow],
    )


def _read_q(match: re.Match[str]) -> Fields:
    unsigned, integer_length, fraction_length = match.groups()
    signed = not unsigned
    return Fields(int(integer_length) + int(fraction_length) + signed, int(fraction_length), signed)


def _read_sfix(match: re.Match[str]) -> Fields:
    sign, word_length, negative, exponent = match.groups()
    fraction_length = int(exponent or 0) if negative else -int(exponent or 0)
    return Fields(int(word_length), fraction_length, sign.lower() == "s")


def _read_window(match: re.Match[str]) -> Fields:
    msb, lsb, sign = match.groups()
    signed = sign is None or sign.lower() == "signed"
    return Fields(int(msb) - int(lsb) + 1 + signed, -int(lsb), signed)


_NUMBER = r"\s*([+-]?[0-9]{1,9})\s*"
_READERS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], Fields]], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), reader)
    for pattern, reader in (
        (rf"(?:numerictype|fixdt)\s*\(\s*([01])\s*,{_NUMBER},{_NUMBER}\)", _read_numerictype),
        (rf"ap_(u?)fixed\s*<{_NUMBER},{_NUMBER}(?:,\s*(\w+)\s*)?(?:,\s*(\w+)\s*)?>", _read_ap_fixed),
        (rf"(u?)q{_NUMBER}\.{_NUMBER}", _read_q),
        (r"([su])fix\s*([0-9]{1,9})(?:\s*_\s*E\s*(n?)\s*([0-9]{1,9}))?", _read_sfix),
        (rf"2\s*\^{_NUMBER}(?:…|\.\.\.?)\s*2\s*\^{_NUMBER}(signed|unsigned)?", _read_window),
    )
)
_EXAMPLES = (
    "numerictype(1,8,3), fixdt(1,8,3), ap_fixed<8,5,AP_RND_INF,AP_SAT>, ap_ufixed<8,5>, Q4.3, UQ4.4, "
    "sfix8_En3, ufix8_E2, '2^3 … 2^-3', '2^3..2^-4 unsigned'"
)


LONGEST = 10_000
"""Characters up to which a text is looked at, and quoted where it is no notation."""


def read(text: str) -> Fields:
    """Read a format from any notation; spaces and case do not matter.

    Raises
    ------
    FormatError
        The text is in no known notation, or asks for a rounding or an overflow that has no equal here.

    Examples
    --------
    >>> read("ap_fixed<8, 5, AP_RND_INF, AP_SAT>")
    Fields(word_length=8, fraction_length=3, signed=True, rounding='half_away', overflow='saturate')
    """
    if not isinstance(text, str):
        raise FormatError(f"a notation is text, not {text!r}; examples: {_EXAMPLES}")
    if len(text) > LONGEST:
        raise FormatError(
            f"cannot read a format of {len(text):,} characters, {text[:40]!r} …; examples of what is understood: "
            f"{_EXAMPLES}"
        )
    # A minus sign that was copied from a typeset page is a character of its own.
    plain = text.strip().replace("\N{MINUS SIGN}", "-")
    for pattern, reader in _READERS:
        if match := pattern.fullmatch(plain):
            try:
                return reader(match)
            except FormatError as error:
                raise FormatError(f"cannot read the format {text!r}: {error}") from None
    raise FormatError(f"cannot read the format {text!r}; examples of what is understood: {_EXAMPLES}")


def _write_ap_fixed(fields: Fields) -> str:
    for name, quantization in _AP_ROUNDINGS.items():
        if quantization == fields.rounding:
            rounding = name
            break
    else:
        raise FormatError(
            f"ap_fixed has no rounding mode {fields.rounding!r}; it has {', '.join(_AP_ROUNDINGS.values())}"
        )
    overflow = {ours: theirs for theirs, ours in _AP_OVERFLOWS.items()}[str(fields.overflow)]
    prefix = "ap_fixed" if fields.signed else "ap_ufixed"
    integer_length = fields.word_length - fields.fraction_length
    return f"{prefix}<{fields.word_length},{integer_length},{rounding},{overflow}>"


def _write_q(fields: Fields) -> str:
    integer_length = fields.word_length - fields.signed - fields.fraction_length
    return f"{'Q' if fields.signed else 'UQ'}{integer_length}.{fields.fraction_length}"


def _write_sfix(fields: Fields) -> str:
    prefix = f"{'s' if fields.signed else 'u'}fix{fields.word_length}"
    if fields.fraction_length == 0:
        return prefix
    return f"{prefix}_E{'n' if fields.fraction_length > 0 else ''}{abs(fields.fraction_length)}"


WRITERS: Mapping[str, Callable[[Fields], str]] = {
    "numerictype": lambda f: f"numerictype({f.signed:d},{f.word_length},{f.fraction_length})",
    "fixdt": lambda f: f"fixdt({f.signed:d},{f.word_length},{f.fraction_length})",
    "ap_fixed": _write_ap_fixed,
    "q": _write_q,
    "sfix": _write_sfix,
}


def write(fields: Fields, style: str) -> str:
    """Write a format in a notation, one of the keys of `WRITERS`.

    Only ``"ap_fixed"`` carries rounding and overflow; the others drop them.

    Raises
    ------
    FormatError
        There is no such style, or ``ap_fixed`` has no equal of the rounding.

    Examples
    --------
    >>> write(Fields(8, 3, True), "sfix")
    'sfix8_En3'
    """
    if not isinstance(style, str) or style not in WRITERS:
        raise FormatError(f"style must be one of {', '.join(map(repr, WRITERS))}, not {style!r}")
    return WRITERS[style](fields)
