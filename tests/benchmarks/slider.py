"""How long a slider's last key takes to show: editor, heat map and table of a workbench of 300 tensors, in a browser.

    python -m tests.benchmarks.slider [--tensors 300] [--motions 8] [--json slider.json]

A real JupyterLab with a real kernel in a headless Chromium. A motion is nine keys in a row; what is timed goes from the
last of them to the newest value being drawn. The processor's share that is left by whatever else runs is told beside.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

from playwright.sync_api import expect

from tests.benchmarks.opened_lab import opened_lab
from tests.browser.lab import NotebookPage
from tests.browser.workbench_page import WATCH, editor, made_up, select

TENSOR = "blocks.0.conv.weight"
VIEWS = ("editor", "heat map", "table")
GOAL = 200
MOTION = ["ArrowRight", "ArrowRight", "ArrowLeft"] * 2 + ["ArrowRight"] * 3
"""To and fro, and to a window at the end that was not drawn on the way."""
BACK = {"ArrowRight": "ArrowLeft", "ArrowLeft": "ArrowRight"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tensors", type=int, default=300)
    parser.add_argument("--motions", type=int, default=8)
    parser.add_argument("--json", type=Path, default=Path(__file__).with_suffix(".json"))
    options = parser.parse_args()
    with opened_lab() as lab:
        notebook = lab.new(made_up(f"tensors({options.tensors})"))
        notebook.run_all()
        expect(notebook.output(0).get_by_text(f"{options.tensors} tensors", exact=True)).to_be_visible()
        motions = timed(notebook, options.motions)
    print(f"ms from the last key to the newest value, {options.tensors} tensors, {len(motions)} motions\n")
    print(f"{'':10}{'best':>8}{'median':>8}{'worst':>8}{'goal':>8}")
    for view in VIEWS:
        waits = [motion[view] for motion in motions]
        print(f"{view:10}{min(waits):8.0f}{statistics.median(waits):8.0f}{max(waits):8.0f}{GOAL:8}")
    share = statistics.median(motion["processor"] for motion in motions)
    print(f"\nof a processor there was {100 * share:.0f} % to be had (median)")
    options.json.write_text(json.dumps({"tensors": options.tensors, "motions": motions}, indent=1) + "\n")


def timed(notebook: NotebookPage, motions: int) -> list[dict[str, float]]:
    """Move the slider so many times, and give for each what every view took, in ms."""
    select(notebook, TENSOR)
    notebook.page.evaluate(WATCH)
    editor(notebook).get_by_role("slider").first.focus()
    found = []
    for motion in range(motions):
        # Every other one back, so that the rail does not end.
        keys, by = ([BACK[key] for key in MOTION], 5) if motion % 2 else (MOTION, -5)
        share = processor_share()
        before = notebook.value(f"plan[{TENSOR!r}].msb")
        notebook.page.evaluate("window.seen = {}")
        for key in keys:
            notebook.page.keyboard.press(key)
        notebook.wait_for_value(f"plan[{TENSOR!r}].msb", before + by)
        notebook.page.wait_for_function("performance.now() - window.lastKey > 1000")
        window = notebook.value(f"plan[{TENSOR!r}].window")
        wait = notebook.page.evaluate(
            """([tensor, text]) => ['editor', 'heat map', `${window.heights[tensor]} ${text}`].map(
                name => window.seen[name] - window.lastKey)""",
            [TENSOR, window],
        )
        found.append({**dict(zip(VIEWS, wait, strict=True)), "processor": share})
    return found


def processor_share() -> float:
    """How much of a processor this process gets: 1 on a machine that is free."""
    wall, cpu = time.perf_counter(), time.process_time()
    while time.perf_counter() - wall < 0.25:
        sum(range(10_000))
    return (time.process_time() - cpu) / (time.perf_counter() - wall)


if __name__ == "__main__":
    main()
