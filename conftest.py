"""What every test shares, the examples in the docstrings and in the README among them."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How fast an example is depends on what else the machine does, and no test is about that.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

collect_ignore = ["tests/benchmarks"]  # scripts, run by make bench


@pytest.fixture(autouse=True)
def folder_of_its_own(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an example save its files where nobody keeps any."""
    if isinstance(request.node, pytest.DoctestItem):
        monkeypatch.chdir(tmp_path)
