"""Tests in a real browser: JupyterLab with a real kernel, driven in a headless Chromium by Playwright.

A test asks for ``lab`` and opens a notebook in it::

    def test_a_click_marks_the_row(lab: Lab) -> None:
        notebook = lab.open("quickstart.ipynb")            # a copy of notebooks/quickstart.ipynb; or
        notebook = lab.new("import qwidgets", "...")       # a new one, of these cells
        notebook.run_all()                                 # fails with the traceback of the cell that failed
        notebook.output(-1).get_by_role("button", name="Commit").click()   # Playwright's locators, from a cell's output
        notebook.page.keyboard.press("ArrowRight")         # Playwright's page
        notebook.execute("plan['conv'] = 'numerictype(1,8,3)'")            # run Python in the notebook's kernel
        assert notebook.value("plan.committed_preview('conv').overflow") == 6
        notebook.wait_for_value("workbench.selection", ["conv"])           # where a widget's message is on its way
        notebook.screenshot("workbench", of=notebook.output(-1))           # light and dark, in tests/output

What a test looks for should be what a person sees: a role and a name, a text, not a class name. The pictures
that the README shows are taken by ``make screenshots``, which runs the tests with "screenshot" in their name.

There is one server and one browser for the tests of this folder; each test has its own notebooks, kernels and browser
profile. Everything here has the mark ``browser`` and fails, not skips, where there is no Chromium.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser.lab import Lab, find_chromium
from tests.waiting import LONG

QUIET = [
    "--no-sandbox",  # root in a container has no other way
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("browser")


# Both end with this folder's tests: Playwright keeps an event loop running, where no other can run.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    executable = find_chromium()
    if executable is None:
        pytest.fail("the tests in a browser need Chromium: install it, or run the others with -m 'not browser'")
    expect.set_options(timeout=LONG * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def server(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    lab = Lab(tmp_path_factory.mktemp("jupyterlab"), browser)
    yield lab
    lab.stop()


@pytest.fixture
def lab(server: Lab) -> Iterator[Lab]:
    yield server
    server.close_notebooks()
