"""How long it takes from running a cell to the first rows of the workbench in the page, each in a kernel of its own.

    python -m tests.benchmarks.first_rows [--rounds 3] [--json first_rows.json]

A real JupyterLab with a real kernel in a headless Chromium. The kernel says when each of the steps before was over:
what it imports, the network, the workbench, the network's capture; what is left is drawing and the way to the page.
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path

from tests.benchmarks.opened_lab import opened_lab
from tests.browser.lab import REPOSITORY, Lab
from tests.widgets.made_up import plan_of, tensors

STEPS = ["torch", "qwidgets", "model", "workbench", "captured", "rows"]
GOALS = {"EfficientNet-Lite0": 10.0, "saved plan of 1,000 tensors": 2.0}

BEGIN = """
import sys, threading, time
marks = {}
begun = time.time()
sys.path.insert(0, %r)
import torch
marks["torch"] = time.time()
from qwidgets import Workbench
marks["qwidgets"] = time.time()
"""
SHOW = """
marks["model"] = time.time()
workbench = Workbench(*given)
marks["workbench"] = time.time()
def look():
    while workbench.plan is None:
        time.sleep(0.005)
    marks["captured"] = time.time()
threading.Thread(target=look).start()
workbench
"""
CASES = {
    "digits": "from qwidgets.examples import digits\nexample = digits()\ngiven = example.model, example.calibration",
    "EfficientNet-Lite0": """
from tests.benchmarks.calibration import efficientnet, images
given = efficientnet(), [images(8) for _ in range(8)]""",
    "saved plan of 1,000 tensors": """
from qwidgets import Calibration, Plan
given = (Plan.load({plan!r}, Calibration.load({calibration!r})),)""",
}
# The page's clock when a row of the table is first in it; both clocks are this machine's.
WATCH = """() => {
    window.shown = new Promise(done => {
        const look = () => document.querySelector('[role=row][data-tensor]')
            ? done(performance.timeOrigin + performance.now()) : requestAnimationFrame(look);
        look();
    });
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, default=Path(__file__).with_suffix(".json"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, opened_lab() as lab:
        saved = {name: str(Path(folder) / name) for name in ("plan", "calibration")}
        plan = plan_of(tensors(1000))
        assert plan.calibration is not None
        plan.calibration.save(saved["calibration"])
        plan.save(saved["plan"])
        found = {
            case: [timed(lab, BEGIN % str(REPOSITORY) + given.format_map(saved) + SHOW) for _ in range(options.rounds)]
            for case, given in CASES.items()
        }
    print(f"seconds, median of {options.rounds}")
    print(f"{'':30}{''.join(f'{step:>11}' for step in STEPS)}{'in all':>9}{'goal':>7}")
    for case, rounds in found.items():
        each = [statistics.median(steps[step] for steps in rounds) for step in STEPS]
        whole = statistics.median(sum(steps.values()) for steps in rounds)
        print(f"{case:30}{''.join(f'{seconds:11.2f}' for seconds in each)}{whole:9.2f}{GOALS.get(case, ''):>7}")
    options.json.write_text(json.dumps(found, indent=1) + "\n")


def timed(lab: Lab, cell: str) -> dict[str, float]:
    """Give the seconds that each step took."""
    notebook = lab.new(cell)
    notebook.value("1")  # the kernel is there
    notebook.page.evaluate(WATCH)
    notebook.run_all()
    shown = float(notebook.page.evaluate("window.shown")) / 1000
    ends = {**notebook.value("{'begun': begun, **marks}"), "rows": shown}
    lab.close_notebooks()
    order = ["begun", *STEPS]
    return {step: ends[step] - ends[before] for before, step in zip(order, STEPS, strict=False)}


if __name__ == "__main__":
    main()
