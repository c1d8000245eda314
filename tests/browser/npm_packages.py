"""The packages of npm from which VS Code, Colab and static pages load the scripts of widgets, as files to be served."""

import base64
import hashlib
import re
import tarfile
import urllib.request
from pathlib import Path
from urllib.error import URLError

import pytest
from playwright.sync_api import Page, Route

CACHE = Path(__file__).parents[1] / "output" / "npm"
REGISTRY = "https://registry.npmjs.org"
PACKAGES = {
    "@jupyter-widgets/html-manager": (
        "1.0.14",
        "wglgQQ+VMj+MBKkTttdeoMtOah/H2A1w5GU1OAVXmDQqZYTK6C+oHZjQMxcNezIpiqUjC1YHKOo5XdP3ENvBng==",
    ),
    "bqplot": ("0.5.46", "qMyo11dhkEeVgIXXGfhXVQxNk89tplePMRt9WGvJOI/HzBO6Vr3c7JJj3KMQBbc8LF+E7o4OGcLY6Ez+Y2Y1hg=="),
    "anywidget": ("0.11.0", "LHZgW2j5UjyerZSZcO+BtZPXGMSORQV2bUT480hOR5x/BXS8sOradi/71amJfMueSEnKX0dqPwTfsOGHTsyZpQ=="),
    "requirejs": ("2.3.7", "DouTG8T1WanGok6Qjg2SXuCMzszOo0eHeH9hDZ5Y4x8Je+9JB38HdTLT4/VA8OaUhBa0JPVHJ0pyBkM1z+pDsw=="),
}


def serve(page: Page) -> None:
    """Let a page have what npm's mirrors would give it, from files; nothing else of the network can be reached.

    The test is skipped where npm's registry cannot be reached and the files are not there from before.
    """
    try:
        folders = {name: _unpacked(name, *of) for name, of in PACKAGES.items()}
    except URLError as error:
        pytest.skip(f"npm's registry cannot be reached: {error}")

    def answer(route: Route) -> None:
        url = route.request.url
        if "/require.js/" in url:
            return route.fulfill(path=folders["requirejs"] / "require.js")
        for name, folder in folders.items():
            _, found, rest = url.partition(f"cdn.jsdelivr.net/npm/{name}@")
            path = folder / rest.partition("/")[2]
            for candidate in (path, path.with_name(f"{path.name}.js")):
                if found and candidate.is_file():
                    return route.fulfill(path=candidate)
        return route.abort()

    page.route(re.compile("^https?:"), answer)


def _unpacked(name: str, version: str, sha512: str) -> Path:
    folder = CACHE / f"{name.replace('/', '+')}-{version}"
    if not folder.exists():
        url = f"{REGISTRY}/{name}/-/{name.rpartition('/')[2]}-{version}.tgz"
        with urllib.request.urlopen(url, timeout=60) as reply:
            packed = reply.read()
        assert base64.b64encode(hashlib.sha512(packed).digest()).decode() == sha512, f"{name} is not what it was"
        CACHE.mkdir(parents=True, exist_ok=True)
        archive = folder.with_suffix(".tgz")
        archive.write_bytes(packed)
        with tarfile.open(archive) as files:
            files.extractall(folder, filter="data")
    return folder / "package"
