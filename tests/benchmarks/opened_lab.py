"""JupyterLab in a headless Chromium, for benchmarks of what a person sees."""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.browser.conftest import QUIET
from tests.browser.lab import Lab, find_chromium


@contextmanager
def opened_lab() -> Iterator[Lab]:
    """Start both, and stop them at the end."""
    executable = find_chromium()
    if executable is None:
        sys.exit("this needs Chromium; say where it is in the environment variable CHROMIUM")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=QUIET)
        lab = Lab(Path(folder), browser)
        try:
            yield lab
        finally:
            lab.stop()
            browser.close()
