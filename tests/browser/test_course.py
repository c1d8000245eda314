"""The course where people take it: as an app under Voila, with the code hidden, and in Notebook 7."""

import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.waiting import LONG

COURSE = Path(__file__).parents[2] / "notebooks" / "course"
NOTEBOOK = "01-words-and-points.ipynb"


@contextmanager
def serving(folder: Path, *command: str) -> Iterator[str]:
    """Run a Jupyter server with nothing of the user's in it, and give its address."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    own = {name: str(folder / name) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR")}
    log = (folder / "server.log").open("wb")
    server = subprocess.Popen(
        [sys.executable, "-m", *command, f"--port={port}", "--no-browser"],
        cwd=COURSE,
        env=os.environ | own,
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + LONG
        while True:
            try:
                urllib.request.urlopen(
                    f"{address}/voila/static/" if "voila" in command else f"{address}/api", timeout=5
                )
                break
            except urllib.error.HTTPError:
                break
            except OSError:
                assert server.poll() is None, (folder / "server.log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.2)
        yield address
    finally:
        server.terminate()
        server.wait(timeout=LONG)
        log.close()


def test_under_voila_a_notebook_is_an_app_without_code(browser: Browser, tmp_path: Path) -> None:
    with serving(tmp_path, "voila", NOTEBOOK) as address:
        page = browser.new_page()
        page.set_default_timeout(LONG * 1000)
        page.goto(address)
        question = page.locator(".qw-question").first
        expect(question).to_be_visible()
        expect(page.get_by_text("from qwidgets import")).to_have_count(0)
        question.get_by_role("textbox").fill("-16, 15.875, 0.125")
        question.get_by_role("textbox").press("Enter")
        expect(question.get_by_role("status")).to_contain_text("Right.")
        page.context.close()


def test_in_notebook_7_the_widgets_answer(browser: Browser, tmp_path: Path) -> None:
    token = secrets.token_hex(16)
    options = (
        "--allow-root",
        f"--IdentityProvider.token={token}",
        "--expose-app-in-browser",
        "--ServerApp.port_retries=0",
    )
    with serving(tmp_path, "notebook", *options) as address:
        page = browser.new_page()
        page.set_default_timeout(LONG * 1000)
        page.goto(f"{address}/notebooks/{NOTEBOOK}?token={token}")
        page.wait_for_function("window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel != null")
        page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
        status = page.locator(".qw-exhibit").first.get_by_role("status")
        expect(status).to_contain_text("Step 1 of 5")
        page.locator(".qw-exhibit").first.get_by_role("button", name="Next").click()
        expect(status).to_contain_text("Step 2 of 5")
        page.context.close()
