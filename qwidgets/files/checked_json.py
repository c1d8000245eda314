"""JSON from a file that may be damaged, or that a person wrote: bounded, unambiguous, and as its schema says.

`parse` refuses what would only fail later on, or load as something else: nesting without end, a name that stands twice
in an object, half a character. Nothing here knows what the content means.
"""

import functools
import hashlib
import json
import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

MOST_LEVELS = 100
"""How deep objects and arrays may lie in each other; those that this package writes lie nine deep at most, the
arguments of a network aside."""

_BRACKETS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|([\[{])|([\]}])', re.DOTALL)
_HALF_CHARACTER = re.compile(r"\\u[dD][89a-fA-F]")


def parse(text: str) -> Any:
    """Read JSON.

    Raises
    ------
    ValueError
        It is no JSON, or ambiguous, or too deep.

    Examples
    --------
    >>> parse('{"a": 1, "a": 2}')
    Traceback (most recent call last):
    ValueError: 'a' stands twice in one object
    """
    depth = 0
    for match in _BRACKETS.finditer(text):
        depth += bool(match[1]) - bool(match[2])
        if depth > MOST_LEVELS:
            raise ValueError(f"it is nested more than {MOST_LEVELS} levels deep at character {match.start():,}")
    content = json.loads(text, object_pairs_hook=_unique)
    if _HALF_CHARACTER.search(text):
        json.dumps(content, ensure_ascii=False).encode()  # a UnicodeEncodeError is a ValueError
    return content


def check(content: Any, schema: Mapping[str, Any]) -> None:
    """Do nothing if the content is as the schema says.

    Raises
    ------
    ValueError
        It is not; the text says where, and what is wrong there.
    """
    error = next(_validator_class()(schema).iter_errors(content), None)
    if error is not None:
        where = "/".join(map(str, error.absolute_path))
        reason = error.message if len(error.message) <= 300 else f"{error.message[:200]} … {error.message[-80:]}"
        raise ValueError(f"{where}: {reason}" if where else reason)


@functools.cache
def schema(package: str, name: str) -> dict[str, Any]:
    """Give the schema that a package of ours has in a file."""
    loaded: dict[str, Any] = json.loads(resources.files(package).joinpath(name).read_text(encoding="utf-8"))
    return loaded


def checksum(content: Any) -> str:
    """Give SHA-256 over what JSON says, however it is laid out."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} stands twice in one object")
    return content


@functools.cache
def _validator_class() -> Any:
    import jsonschema  # slow to import, and only a file needs it

    # JSON schema takes 8.0 for an integer, and nothing here does.
    integers = jsonschema.Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda _, value: type(value) is int)
    return jsonschema.validators.extend(jsonschema.Draft202012Validator, type_checker=integers)
