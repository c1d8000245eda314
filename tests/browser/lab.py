"""A real JupyterLab, and a notebook in it as a person in a browser has it.

``Lab`` is the server: its settings, workspaces and kernels live in a folder of its own, so that nothing of the
user's is read or written. ``NotebookPage`` is one notebook, open in a headless Chromium.
Neither knows anything about qwidgets.
"""

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from ast import literal_eval
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Browser, Locator, Page

from tests.waiting import LONG

REPOSITORY = Path(__file__).parents[2]
FRAME_PIXELS = 200  # the height of JupyterLab's menus and bars, and some more

SETTINGS = {
    # Neither Jupyter's question about its news nor a "new version" toast may lie over what a test looks at.
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True},
    # Otherwise cells outside the window are not in the page at all.
    "notebook-extension/tracker": {"windowingMode": "none"},
    "docmanager-extension/plugin": {"autosave": False},
}


class CellFailedError(AssertionError):
    """A cell of the notebook raised an error; the text is its traceback."""


class Lab:
    """A JupyterLab server in ``folder``, and the notebooks that are open in it.

    Parameters
    ----------
    folder
        An empty folder, for the notebooks and for all that JupyterLab keeps.
    browser
        The browser that opens the notebooks.
    """

    def __init__(self, folder: Path, browser: Browser) -> None:
        self.browser = browser
        self.root = folder / "notebooks"
        self.root.mkdir()
        self._log = folder / "jupyterlab.log"
        self._token = secrets.token_hex(16)
        self._address = f"http://127.0.0.1:{_free_port()}"
        self._pages: list[NotebookPage] = []
        self._opened = 0
        for name, settings in SETTINGS.items():
            path = folder / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(settings))
        self._server = self._start(folder)

    def open(self, name: str) -> "NotebookPage":
        """Open a copy of one of the repository's notebooks, without running it."""
        return self._open((REPOSITORY / "notebooks" / name).read_text(encoding="utf-8"))

    def new(self, *cells: str) -> "NotebookPage":
        """Open a new notebook with these code cells, without running it."""
        empty: dict[str, object] = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
        notebook = {
            "nbformat": 4,
            "nbformat_minor": 5,
            "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
            "cells": [empty | {"id": f"cell{index}", "source": source} for index, source in enumerate(cells)],
        }
        return self._open(json.dumps(notebook))

    def close_notebooks(self) -> None:
        """Close every open notebook and end its kernel."""
        while self._pages:
            self._pages.pop().page.context.close()
        for session in self._ask("GET", "api/sessions"):
            self._ask("DELETE", f"api/sessions/{session['id']}")

    def stop(self) -> None:
        """Close what is open and end the server."""
        self.close_notebooks()
        self._server.terminate()
        try:
            self._server.wait(timeout=20)  # after which it is killed, whatever it is at
        except subprocess.TimeoutExpired:
            self._server.kill()

    def _open(self, notebook: str) -> "NotebookPage":
        self._opened += 1
        name = f"notebook{self._opened}"
        (self.root / f"{name}.ipynb").write_text(notebook, encoding="utf-8")
        page = self.browser.new_context(viewport={"width": 1440, "height": 1000}).new_page()
        page.set_default_timeout(LONG * 1000)
        # A workspace for each, or JupyterLab opens the notebooks of the tests before along with this one.
        page.goto(f"{self._address}/lab/workspaces/{name}/tree/{name}.ipynb?token={self._token}")
        opened = NotebookPage(page)
        self._pages.append(opened)
        return opened

    def _start(self, folder: Path) -> subprocess.Popen[bytes]:
        own = {
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
            "IPYTHONDIR": "ipython",
        }
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--expose-app-in-browser"]
        command += [f"--ServerApp.root_dir={self.root}", f"--IdentityProvider.token={self._token}"]
        command += [f"--ServerApp.port={self._address.rsplit(':', 1)[1]}", "--ServerApp.port_retries=0"]
        with self._log.open("wb") as log:
            server = subprocess.Popen(
                command,
                cwd=self.root,
                env=os.environ | {variable: str(folder / name) for variable, name in own.items()},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + LONG
        while time.monotonic() < deadline and server.poll() is None:
            try:
                self._ask("GET", "api/status", seconds=5)
            except OSError:
                time.sleep(0.1)
            else:
                return server
        server.kill()
        raise RuntimeError(f"JupyterLab did not start:\n{self._log.read_text()}")

    def _ask(self, method: str, path: str, seconds: float = LONG) -> Any:
        request = urllib.request.Request(f"{self._address}/{path}", method=method)
        request.add_header("Authorization", f"token {self._token}")
        with urllib.request.urlopen(request, timeout=seconds) as reply:
            body = reply.read()
        return json.loads(body) if body else None


class NotebookPage:
    """One notebook, open in the browser.

    Attributes
    ----------
    page
        Playwright's page, for whatever a person does with mouse and keyboard.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        page.wait_for_function(
            """() => window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel?.connectionStatus
                === 'connected'""",
        )
        # The file browser takes a quarter of the width and shows nothing that a test asks for.
        page.evaluate(
            """async () => {
                const app = window.jupyterapp;
                await app.restored;
                if (!app.shell.leftCollapsed) await app.commands.execute('application:toggle-left-area');
            }"""
        )

    def run_all(self) -> None:
        """Run all cells and wait until the last has ended.

        Raises
        ------
        CellFailedError
            A cell raised an error.
        """
        tracebacks = self.page.evaluate(
            """async () => {
                const app = window.jupyterapp;
                const cells = app.shell.currentWidget.content.widgets;
                await app.commands.execute('notebook:run-all-cells');
                return cells.flatMap(cell => cell.model.type === 'code' ? cell.model.outputs.toJSON() : [])
                    .filter(output => output.output_type === 'error')
                    .map(output => output.traceback.join('\\n'));
            }"""
        )
        if tracebacks:
            raise CellFailedError(_without_colours(tracebacks[0]))

    def execute(self, code: str) -> None:
        """Run Python in the notebook's kernel, as a cell would that leaves no trace in the notebook."""
        self._request(code, {})

    def value(self, expression: str) -> Any:
        """Ask the notebook's kernel for the value of a Python expression: numbers, text, lists and dicts of them."""
        ask = f"__import__('json').dumps({expression}, default=float)"
        reply = self._request("", {"value": ask})["user_expressions"]["value"]
        if reply["status"] != "ok":
            raise CellFailedError(_without_colours("\n".join(reply["traceback"])))
        return json.loads(literal_eval(reply["data"]["text/plain"]))

    def wait_for_value(self, expression: str, expected: object) -> None:
        """Wait until a Python expression has a value in the kernel; a widget's message takes a moment to get there."""
        deadline = time.monotonic() + LONG
        while (value := self.value(expression)) != expected:
            if time.monotonic() > deadline:
                raise AssertionError(f"{expression} is still {value!r} after {LONG} s, and not {expected!r}")
            self.page.wait_for_timeout(50)

    def output(self, cell: int) -> Locator:
        """Give the output area of a cell, counted from 0 among the code cells; negative from the end."""
        return self.page.locator(".jp-Notebook .jp-CodeCell").nth(cell).locator(".jp-Cell-outputArea")

    def theme(self, theme: Literal["light", "dark"]) -> None:
        """Switch JupyterLab's theme and wait until the page has it."""
        self.page.evaluate(
            "name => window.jupyterapp.commands.execute('apputils:change-theme', {theme: name})",
            f"JupyterLab {theme.capitalize()}",
        )
        is_light = "true" if theme == "light" else "false"
        self.page.locator(f"body[data-jp-theme-light={is_light}]").wait_for(state="attached")

    def screenshot(self, name: str, of: Locator | None = None) -> Sequence[Path]:
        """Take the page, or a part of it, in both themes: ``<name>-light.png`` and ``<name>-dark.png``.

        They go to ``tests/output``, or to the folder in the environment variable SCREENSHOTS.
        """
        folder = REPOSITORY / os.environ.get("SCREENSHOTS", "tests/output")
        folder.mkdir(parents=True, exist_ok=True)
        window = self.page.viewport_size
        box = of.bounding_box() if of else None
        if window and box:  # what is taller than the window would be taken with JupyterLab's frame over it
            room = int(box["height"]) + FRAME_PIXELS
            self.page.set_viewport_size({"width": window["width"], "height": max(window["height"], room)})
        paths = []
        for theme in ("dark", "light"):
            self.theme(theme)
            self.page.mouse.move(0, 0)
            self.page.wait_for_timeout(500)  # transitions end, and canvases are drawn again
            paths.append(folder / f"{name}-{theme}.png")
            (of or self.page).screenshot(path=paths[-1])
        if window:
            self.page.set_viewport_size(window)
        return paths

    def _request(self, code: str, expressions: dict[str, str]) -> Any:
        # The page itself keeps the answer: a promise that only the browser's debugger waits for may be collected.
        self.page.evaluate(
            """([code, expressions]) => {
                const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
                window.answer = null;
                window.asked = kernel.requestExecute(
                    {code, user_expressions: expressions, store_history: false, stop_on_error: false}
                );
                window.asked.done.then(
                    reply => { window.answer = reply.content; },
                    error => { window.answer = {status: 'error', traceback: [String(error)]}; }
                );
            }""",
            [code, expressions],
        )
        reply = self.page.wait_for_function("() => window.answer", timeout=1000 * LONG).json_value()
        if reply["status"] != "ok":
            raise CellFailedError(_without_colours("\n".join(reply["traceback"])))
        return reply


def find_chromium() -> str | None:
    """Give the path of the browser: what CHROMIUM names, else the first of the usual names that is there."""
    names = [os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome"]
    return next((path for name in names if name and (path := shutil.which(name))), None)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _without_colours(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
