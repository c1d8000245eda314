"""Voila and Notebook 7, as servers of their own."""

import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page

from tests.waiting import LONG


@contextmanager
def serving(folder: Path, notebooks: Path, *command: str) -> Iterator[str]:
    """Run a Jupyter server on a folder of notebooks, with nothing of the user's in it, and give its address."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    own = {name: str(folder / name) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR")}
    log = (folder / "server.log").open("wb")
    server = subprocess.Popen(
        [sys.executable, "-m", *command, f"--port={port}", "--no-browser"],
        cwd=notebooks,
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


@contextmanager
def notebook_7(folder: Path, notebooks: Path, name: str) -> Iterator[str]:
    """Run Notebook 7, and give the address of a notebook in it."""
    token = secrets.token_hex(16)
    options = (
        "--allow-root",
        f"--IdentityProvider.token={token}",
        "--expose-app-in-browser",
        "--ServerApp.port_retries=0",
    )
    with serving(folder, notebooks, "notebook", *options) as address:
        yield f"{address}/notebooks/{name}?token={token}"


def run_all_cells(page: Page) -> None:
    """Run the notebook that a page of Notebook 7 shows."""
    page.wait_for_function("window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel != null")
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
