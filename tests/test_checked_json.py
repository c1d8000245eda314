import json

import pytest

from qwidgets.files import checked_json


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1, "b": {"a": 2, "c": 3, "a": 4}}', "'a' stands twice"),
        ('"half \\ud83d"', "surrogates"),
        ('{"\\uDC00": 1}', "surrogates"),
        ("[1, 2", "delimiter"),
        ("", "Expecting value"),
        ("9" * 5000, "digits"),
    ],
)
def test_what_is_ambiguous_or_no_json_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        checked_json.parse(text)


def test_characters_that_are_escaped_in_two_halves_are_read() -> None:
    assert checked_json.parse(json.dumps("👍")) == "👍"


def test_nesting_ends_at_a_hundred_levels_and_brackets_in_text_are_no_nesting() -> None:
    assert checked_json.parse("[" * 100 + "]" * 100)
    assert checked_json.parse("[" + "[]," * 300 + "1]")  # one after the other, not in each other
    with pytest.raises(ValueError, match=r"more than 100 levels deep at character 100"):
        checked_json.parse("[" * 101 + "]" * 101)
    assert checked_json.parse(json.dumps(['[{"\\' * 500])) == ['[{"\\' * 500]


def test_a_checksum_is_of_what_is_said_and_not_of_how_it_is_laid_out() -> None:
    first, second = {"a": [1, "é"], "b": None}, {"b": None, "a": [1, "é"]}
    assert checked_json.checksum(first) == checked_json.checksum(second)
    others = ({"a": [1, "e"], "b": None}, {"a": [1.0, "é"], "b": None}, {"a": [1, "é"], "b": False}, {"a": [1, "é"]})
    assert checked_json.checksum(first) not in {checked_json.checksum(other) for other in others}


def test_a_schema_takes_integers_for_integers_only_and_tells_where_what_is_wrong() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "integer"}}}}
    checked_json.check({"a": [1, 2]}, schema)
    for wrong in (2.0, True, "2", None):
        with pytest.raises(ValueError, match=r"^a/1: "):
            checked_json.check({"a": [1, wrong]}, schema)
    with pytest.raises(ValueError, match="…") as caught:
        checked_json.check({"a": "long" * 100_000}, schema)
    assert len(str(caught.value)) < 400
