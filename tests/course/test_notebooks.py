"""The notebooks of the course hold together: what they ask exists, and what the lecturer's page shows is there."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from qwidgets.course import EXERCISES

COURSE = Path(__file__).parents[2] / "notebooks" / "course"
NOTEBOOKS = sorted(COURSE.glob("*.ipynb"))
PAGE = (COURSE / "README.md").read_text(encoding="utf-8")


def cells(path: Path) -> list[dict[str, Any]]:
    return list(json.loads(path.read_text(encoding="utf-8"))["cells"])


def code(path: Path) -> str:
    return "\n".join("".join(cell["source"]) for cell in cells(path) if cell["cell_type"] == "code")


def test_there_are_six_notebooks_and_the_page_tells_of_each() -> None:
    assert len(NOTEBOOKS) == 6
    assert all(f"]({path.name})" in PAGE for path in NOTEBOOKS)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_asks_its_own_exercises_in_their_order_and_all_of_them(path: Path) -> None:
    asked = re.findall(r'ask\("([\d.]+)"', code(path))
    number = path.name[1]
    assert asked == sorted(key for key in EXERCISES if key.startswith(f"{number}."))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs(path: Path) -> None:
    assert not any(cell["outputs"] or cell["execution_count"] for cell in cells(path) if cell["cell_type"] == "code")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_next_notebook_is_named_where_one_ends(path: Path) -> None:
    following = NOTEBOOKS[NOTEBOOKS.index(path) + 1 :]
    last = "".join(cells(path)[-1]["source"])
    assert not following or following[0].name in last


def test_the_pictures_of_the_page_are_there() -> None:
    pictures = re.findall(r'(?:src|srcset)="([^"]+)"', PAGE)
    assert len(pictures) == 8
    assert all((COURSE / picture).is_file() for picture in pictures)
