"""What a stranger gets who installs the wheel, or opens the repository on Binder."""

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


def run(*command: str | Path, cwd: Path = REPOSITORY) -> str:
    """Run a command and give what it printed; fail with it where the command fails."""
    done = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_the_package_its_types_and_its_example_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {"qwidgets/__init__.py", "qwidgets/py.typed", "qwidgets/examples/digits.safetensors"} <= set(names)
    assert {"qwidgets/export/record.schema.json", "qwidgets/export/report.html.jinja"} <= set(names)
    assert {"qwidgets/tuning/plan.schema.json", "qwidgets/calibration/calibration.schema.json"} <= set(names)
    assert {name.split("/")[0].split("-")[0] for name in names} == {"qwidgets"}


@pytest.mark.slow
@pytest.mark.timeout(900)  # a CUDA build of torch is gigabytes
def test_the_wheel_installs_and_works_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "empty", with_pip=True)
    python = tmp_path / "empty" / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", "-c", REPOSITORY / "constraints.txt", wheel)
    printed = run(python, "-c", EVERY_PUBLIC_NAME, cwd=tmp_path)
    assert "Workbench" in printed


EVERY_PUBLIC_NAME = """
import qwidgets
for name in qwidgets.__all__:
    getattr(qwidgets, name)
print(qwidgets.__all__, len(qwidgets.examples.digits().test))
"""


def test_binder_builds_an_environment_of_the_tested_versions_without_cuda() -> None:
    dockerfile = run(sys.executable, "-m", "repo2docker", "--no-build", "--debug", ".")
    # repo2docker recognized the folder, and copies the package before it installs it.
    package, install = (
        dockerfile.find("COPY --chown=0:0 src/ "),
        dockerfile.find('pip install --no-cache-dir -r "binder/'),
    )
    assert 0 < package < install
    requirements = (REPOSITORY / "binder" / "requirements.txt").read_text()
    pinned = [line for line in (REPOSITORY / "constraints.txt").read_text().splitlines() if line.startswith("torch==")]
    assert f"{pinned[0]}+cpu\n" in requirements
    assert "-c ../constraints.txt\n" in requirements
