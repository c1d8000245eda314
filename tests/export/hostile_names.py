"""Texts that would be code, the end of a comment, or nothing that can be written, if a file took them as they are."""

import random

TEXTS = (
    "a'b",
    'a"b',
    '"""',
    "'''\nimport os\n'''",
    "a\nb",
    "a\r\nb",
    "a\\",
    "\\",
    "*/ #error ended /*",
    "/*",
    "*/*/",
    "//",
    "*\\/",
    "??/",
    "??'??/\n??",
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "&lt;",
    "]]>",
    "--><!--",
    "$(touch pwned)",
    "`touch pwned`",
    "${HOME}",
    "%s%n{0}{{7*7}}{% raw %}",
    "# coding: utf-7",
    "a\u2028b\u2029c\x85d",
    "\u202ecba\u2066\u200f",
    "\ufeffbom",
    "nul\0nul",
    "\x1b[31mred\x1b[0m\x07",
    "half \ud83d an emoji",
    "🙂é",
    "=1+1",
    "+1",
    "@SUM(A1)",
    "\t=1+1",
    "",
    " ",
    "x" * 5000,
)
"""Each kind once."""

PIECES = (
    "'",
    '"',
    "\\",
    "/",
    "*",
    "?",
    "\n",
    "\r",
    "\0",
    "<",
    ">",
    "&",
    "$",
    "{",
    "}",
    "%",
    "#",
    "\u2028",
    "\ud83d",
    "a",
)


def mixtures(count: int) -> list[str]:
    """Give texts of the letters that matter, in every order; always the same."""
    chance = random.Random(0)
    return ["".join(chance.choices(PIECES, k=chance.randint(2, 8))) for _ in range(count)]
