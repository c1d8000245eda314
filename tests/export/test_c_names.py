"""Whatever a network, its layers and its notes are called, the C is the same code: compiled by gcc, and run."""

import re
import subprocess
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from qwidgets import calibrate
from qwidgets.export import to_c
from qwidgets.export.c_code.names import LONGEST_NAME, LONGEST_STRING, Names, comment, string
from tests.export.hostile_names import TEXTS, mixtures

STRICT = ("gcc", "-std=c99", "-trigraphs", "-pedantic", "-Wall", "-Wextra", "-Werror")
KEYWORDS = ("int", "switch", "main", "printf", "size_t", "int8_t", "null", "static_assert")
PARTS = st.sampled_from(
    [
        "a",
        "A",
        "a_expected",
        "run",
        "Run",
        "expected",
        "2",
        "a_2",
        "é",
        ".",
        "_",
        "t",
        "linear",
        "weights_h",
        "int8_t",
        *TEXTS,
    ]
)
NETWORKS = ("Net", "QW", "Qw", "Int8", "Uint", "Size", "And", "Static", "", "é", "9", "Int", *TEXTS)


def executed(folder: Path, source: str) -> bytes:
    """Compile a program with every warning an error, as the folder's Makefile does, and run it."""
    (folder / "program.c").write_text(source, encoding="utf-8", newline="\n")
    built = subprocess.run([*STRICT, "-o", "program", "program.c"], cwd=folder, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return subprocess.run([folder / "program"], cwd=folder, capture_output=True, check=True).stdout


def test_a_string_is_printed_as_it_was_given(tmp_path: Path) -> None:
    texts = [text for text in (*TEXTS, *mixtures(300)) if len(text) <= LONGEST_STRING]
    prints = "".join(f"    fwrite({string(text)}, 1, sizeof {string(text)}, stdout);\n" for text in texts)
    printed = executed(tmp_path, f"#include <stdio.h>\nint main(void)\n{{\n{prints}    return 0;\n}}\n")
    assert printed == b"".join(text.encode("utf-8", "backslashreplace") + b"\0" for text in texts)


def test_a_very_long_string_is_one_that_every_compiler_takes(tmp_path: Path) -> None:
    source = f"#include <stdio.h>\nint main(void)\n{{\n    puts({string('é' * 5000)});\n    return 0;\n}}\n"
    assert executed(tmp_path, source).decode() == "é" * (LONGEST_STRING // 2) + "...\n"


def test_no_text_ends_the_comment_that_it_is_in(tmp_path: Path) -> None:
    texts = (*TEXTS, *mixtures(300))
    comments = "".join(f"    /* {comment(text)} */\n    count++;\n    /* {comment(text)}: this */\n" for text in texts)
    body = f'    int count = 0;\n{comments}    printf("%d", count);\n    return 0;\n'
    printed = executed(tmp_path, f"#include <stdio.h>\nint main(void)\n{{\n{body}}}\n")
    assert int(printed) == len(texts)


@settings(derandomize=True, max_examples=150, deadline=None)
@given(network=st.sampled_from(NETWORKS), texts=st.lists(st.lists(PARTS, max_size=3).map("".join), max_size=12))
def test_no_two_names_are_equal_and_none_is_one_of_the_files_own(network: str, texts: Sequence[str]) -> None:
    names = Names(network)
    given_out = [names.of(text) for text in texts]
    vectors = [f"{name}_expected" for name in given_out]
    own = [f"{names.prefix}_run", f"{names.prefix}_network_h", f"{names.prefix}_weights_h"]
    assert len({*given_out, *vectors, *own}) == 2 * len(texts) + 3
    for name in given_out:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", name)
        assert len(name) <= 2 * LONGEST_NAME + 10
        assert name not in (
            "qw_linear",
            "qw_storage",
            "qw_int8",
            "qw_run",
            "int8_t",
            "size_t",
            "static_assert",
            "and_eq",
        )


def network(name: str, layers: Sequence[str]) -> nn.Module:
    kind = type(name, (nn.Sequential,), {})
    module: nn.Module = kind(OrderedDict((layer, nn.Linear(4, 4)) for layer in layers))
    return module


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("Net", ["run", "a", "a_expected", "a_expected_expected", "A", "é", "ü", "weights_h", "a_layer"]),
        ("QW", ["linear", "storage", "format", "int8", "examples", "vector", "run", "layers_h", "finish", "read"]),
        ("Int8", ["t", "max", "c"]),
        ('"*/ #error\\', ["*/ #error", "$(touch pwned)", "a\u2028b", "\u202eab", "x" * 5000, "??/", "%s%n", *KEYWORDS]),
    ],
)
def test_a_network_with_hostile_names_computes_every_code(name: str, layers: list[str], tmp_path: Path) -> None:
    torch.manual_seed(0)
    data = torch.randn(4, 4)
    plan = calibrate(network(name, layers), [data], device="cpu", progress=False).propose(8, "minmax")
    to_c(plan, tmp_path / "c", data=[data])
    assert (tmp_path / "c" / "README.txt").read_text().isascii()
    result = subprocess.run(["make", "-C", str(tmp_path / "c")], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"{len(layers) + 1} tensors" in result.stdout
    assert not list(tmp_path.rglob("pwned"))
