"""The list of tensors and the heat map beside it, as the tests in a browser see them: lines, levels and colours."""

from typing import Any

from playwright.sync_api import Locator

from tests.browser.lab import NotebookPage
from tests.browser.workbench_page import middle, row, table
from tests.waiting import until

# The colours of bqplot's picture at a height of the page, from left to right, one for each of its pixels.
COLOURS = """async y => {
    const picture = document.querySelector('.qw-aligned image');
    const box = picture.getBoundingClientRect();
    const image = new Image();
    image.src = picture.getAttribute('href') || picture.getAttribute('xlink:href');
    await image.decode();
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [image.width, image.height];
    const context = canvas.getContext('2d');
    context.drawImage(image, 0, 0);
    const line = Math.floor((y - box.y) / box.height * image.height);
    const data = context.getImageData(0, line, image.width, 1).data;
    return Array.from({length: image.width}, (_, x) => [...data.slice(4 * x, 4 * x + 3)]);
}"""
SEEN = """grid => {
    const top = grid.querySelector('[role=columnheader]').parentElement.getBoundingClientRect().bottom;
    const bottom = grid.getBoundingClientRect().top + grid.clientTop + grid.clientHeight;
    return [...grid.querySelectorAll('[role=row][data-tensor]')]
        .map(each => [each.dataset.tensor, each.getBoundingClientRect()])
        .filter(([, box]) => box.top >= top - 0.5 && box.bottom <= bottom + 0.5)
        .sort(([, a], [, b]) => a.top - b.top).map(([name]) => name);
}"""


def seen(notebook: NotebookPage, cell: int = 0) -> list[str]:
    """The tensors whose rows are wholly in sight, from top to bottom."""
    found: list[str] = table(notebook, cell).evaluate(SEEN)
    return found


def expected_colours(notebook: NotebookPage, names: list[str]) -> dict[str, Any]:
    """What the kernel painted of tensors, without the ends, where the frame of a selected line lies."""
    found: dict[str, Any] = notebook.value(
        "(lambda heat, palette: {name: palette[heat._lines.lines[name][0]][2:-2].tolist() for name in "
        f"{names!r}}})(workbench.heat_map, __import__('qwidgets.pictures', fromlist=['']).palette())"
    )
    return found


def colours_beside(notebook: NotebookPage, name: str) -> list[list[int]]:
    """What the heat map shows at the height of a row, from left to right."""
    found: list[list[int]] = notebook.page.evaluate(COLOURS, middle(row(notebook, name)))
    return found


def assert_level(notebook: NotebookPage, expected: dict[str, Any]) -> list[str]:
    """Each row in sight has, or will have, its own line of the heat map beside it; gives their names."""
    names = seen(notebook)
    assert names
    for name in names:
        until(lambda name=name: colours_beside(notebook, name)[2:-2] == expected[name])  # type: ignore[misc]
    return names


def header(notebook: NotebookPage, title: str) -> Locator:
    return table(notebook).get_by_role("columnheader").get_by_role("button", name=title)
