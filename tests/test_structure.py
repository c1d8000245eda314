"""How the house is built: files of one idea, no circle of imports, one reader of the traced graph."""

import ast
import itertools
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest

PACKAGE = Path(__file__).parents[1] / "qwidgets"
FILES = sorted(PACKAGE.rglob("*.py"))
LONGEST = 400
READERS_OF_THE_TRACED_GRAPH = {"network", "simulation"}
WRITES_A_GRAPH_OF_ITS_OWN = {"export/to_hls4ml.py"}  # the module that hls4ml is to convert


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_a_file_has_one_idea_and_says_which(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LONGEST
    assert ast.get_docstring(ast.parse(text))


def test_no_module_is_imported_by_what_it_imports() -> None:
    graph = grimp.build_graph("qwidgets", exclude_type_checking_imports=True, cache_dir=None)
    below = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    left = dict(below)
    while leaves := [module for module, imported in left.items() if not imported & left.keys()]:
        for leaf in leaves:
            del left[leaf]
    assert not left, f"these import one another: {sorted(left)}"


def _imports_of(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_the_traced_graph_is_read_in_one_place() -> None:
    readers = {
        str(file.relative_to(PACKAGE)) for file in FILES if any("torch.fx" in name for name in _imports_of(file))
    }
    rooms = {reader.partition("/")[0] for reader in readers - WRITES_A_GRAPH_OF_ITS_OWN}
    assert rooms <= READERS_OF_THE_TRACED_GRAPH


def test_nothing_below_the_widgets_needs_a_widget_library() -> None:
    below = [file for file in FILES if file.relative_to(PACKAGE).parts[0] != "widgets"]
    names = itertools.chain.from_iterable(map(_imports_of, below))
    assert not {name.partition(".")[0] for name in names} & {"anywidget", "bqplot", "ipywidgets"}
