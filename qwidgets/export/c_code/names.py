"""Names of C made of the names of a network, and text that is safe in a comment or a string of C.

Nothing here knows what is named. Names, notes and titles may come from somebody else's file: nothing of them reaches a
C file but through the three functions here.
"""

import functools
import re
from importlib import resources

SOURCES = ("layers.h", "layers.c", "fixed_point.h", "self_test.c")
"""The C that is the same for every network."""

LONGEST_NAME = 160
"""Longer names are cut, at the front, which tells less; a name is still told apart from all others."""

LONGEST_STRING = 1000
"""In bytes. C99 promises strings of 4095, and a tensor's name is read by a person."""

_HEADER_WORDS = {
    *("and_eq", "char16_t", "char32_t", "char8_t", "co_await", "co_return", "co_yield", "const_cast", "div_t"),
    *("dynamic_cast", "fexcept_t", "fpos_t", "ldiv_t", "lldiv_t", "max_align_t", "not_eq", "or_eq", "ptrdiff_t"),
    *("reinterpret_cast", "sig_atomic_t", "size_t", "ssize_t", "static_assert", "static_cast", "thread_local"),
    *("time_t", "typeof_unqual", "va_list", "wchar_t", "wint_t", "xor_eq"),
}
_INTEGER_WORDS = re.compile(r"u?int(_least|_fast|max|ptr)?[0-9]*_(t|c|min|max)")
"""Words of C, C++ and their headers that have an underscore within, as every name that is given out has."""


def identifier(text: str) -> str:
    """Give a name of small letters, digits and underscores; never an empty one, never one that begins with a digit.

    Examples
    --------
    >>> identifier("blocks.0.conv1.weight"), identifier("0"), identifier("é")
    ('blocks_0_conv1_weight', 'n_0', 'n')
    """
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text)
    name = re.sub(r"[^0-9a-z]+", "_", snake.lower()).strip("_")
    return name if name[:1].isalpha() else f"n_{name}".rstrip("_")


class Names:
    """Gives out C names that begin alike and of which no two are equal, not even in capitals.

    No name is a word of C or of what is written beside the network: the function that runs it, the guards of headers,
    types and functions of ``layers.h``. With each name the one of its test vectors is taken, which ends in
    ``_expected``.

    Parameters
    ----------
    network
        What every name begins with, so that two networks can be linked into one program.

    Examples
    --------
    >>> names = Names("DigitsNet")
    >>> names.of("fc.weight"), names.of("fc_weight"), names.of("fc.weight")
    ('digits_net_fc_weight', 'digits_net_fc_weight_2', 'digits_net_fc_weight_3')
    >>> names.of("run"), names.of("fc.weight_expected")
    ('digits_net_run_2', 'digits_net_fc_weight_expected_2')
    """

    def __init__(self, network: str) -> None:
        self.prefix = identifier(network)[:LONGEST_NAME].rstrip("_")
        self._taken = {f"{self.prefix}_{word}" for word in ("run", "network_h", "weights_h")}

    def of(self, text: str) -> str:
        """Give a new name for something."""
        base = name = f"{self.prefix}_{identifier(text)[-LONGEST_NAME:].lstrip('_')}"
        number = 1
        while self._is_taken(name) or self._is_taken(expected(name)):
            number += 1
            name = f"{base}_{number}"
        self._taken |= {name, expected(name)}
        return name

    def _is_taken(self, name: str) -> bool:
        return name in self._taken or name in _source_words() or _INTEGER_WORDS.fullmatch(name) is not None


def expected(name: str) -> str:
    """Give the name of the test vectors of a tensor.

    Examples
    --------
    >>> expected("net_fc")
    'net_fc_expected'
    """
    return f"{name}_expected"


@functools.cache
def _source_words() -> frozenset[str]:
    """Give every word of the C that does not change, in small letters; those of its comments do no harm."""
    folder = resources.files("qwidgets.export.c_code") / "source"
    texts = ((folder / name).read_text(encoding="utf-8") for name in SOURCES)
    return frozenset(_HEADER_WORDS).union(*(re.findall(r"[a-z_][a-z0-9_]*", text.lower()) for text in texts))


def comment(text: str) -> str:
    """Give text that cannot end a comment or begin another.

    Examples
    --------
    >>> comment("a*/b")
    'a* /b'
    """
    text = text.replace("…", "...")
    safe = "".join(letter if " " <= letter <= "~" else "." for letter in text).replace("\\", "/")
    return re.sub(r"\?(?=\?)", "? ", re.sub(r"/(?=\*)", "/ ", re.sub(r"\*(?=/)", "* ", safe)))


def string(text: str) -> str:
    r"""Give a string of C, without the end of a very long one.

    Examples
    --------
    >>> print(string('a"b'))
    "a\"b"
    """
    octal = {ord(letter): f"\\{ord(letter):03o}" for letter in '"\\?'} | {ord('"'): '\\"'}
    code = text.encode("utf-8", errors="backslashreplace")
    if len(code) > LONGEST_STRING:
        code = code[:LONGEST_STRING] + b"..."
    body = "".join(chr(byte).translate(octal) if 32 <= byte < 127 else f"\\{byte:03o}" for byte in code)
    return f'"{body}"'
