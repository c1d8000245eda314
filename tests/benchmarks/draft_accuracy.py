"""How long the accuracy of a draft takes to show after the slider is let go, on the digits network, in a browser.

    python -m tests.benchmarks.draft_accuracy [--motions 6] [--json draft_accuracy.json]

A real JupyterLab with a real kernel in a headless Chromium. What is timed goes from the last key on the slider to the
figures of the result strip being drawn for the last time: the draft's accuracy on the first 128 of the 450 test images.
"""

import argparse
import json
import statistics
from pathlib import Path

from playwright.sync_api import expect

from tests.benchmarks.opened_lab import opened_lab
from tests.benchmarks.slider import BACK, MOTION, processor_share
from tests.browser.lab import NotebookPage
from tests.browser.workbench_page import DIGITS, editor, select

GOAL = 1000
MARK = "draft, first 128 of 450 images"
WATCH = """() => {
    addEventListener('keydown', () => { window.lastKey = performance.now(); }, true);
    new MutationObserver(() => { window.drawn = performance.now(); }).observe(
        document.querySelector('.qw-results table.qw-result').parentElement.parentElement,
        {childList: true, subtree: true, characterData: true},
    );
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--motions", type=int, default=6)
    parser.add_argument("--json", type=Path, default=Path(__file__).with_suffix(".json"))
    options = parser.parse_args()
    with opened_lab() as lab:
        notebook = lab.new(DIGITS, "plan = workbench.wait()")
        notebook.run_all()
        motions = timed(notebook, options.motions)
    waits = [motion["ms"] for motion in motions]
    print("ms from the last key to the draft's accuracy, on the first 128 of 450 images of the digits network\n")
    print(f"{'best':>8}{'median':>8}{'worst':>8}{'goal':>8}")
    print(f"{min(waits):8.0f}{statistics.median(waits):8.0f}{max(waits):8.0f}{GOAL:8}")
    share = statistics.median(motion["processor"] for motion in motions)
    print(f"\nof a processor there was {100 * share:.0f} % to be had (median)")
    options.json.write_text(json.dumps({"motions": motions}, indent=1) + "\n")


def timed(notebook: NotebookPage, motions: int) -> list[dict[str, float]]:
    """Move the slider so many times, and give for each what the accuracy took, in ms."""
    names = notebook.value("[row.name for row in plan.rows if row.kind in ('weight', 'activation')]")
    notebook.page.evaluate(WATCH)
    found = []
    for name in names[:motions]:  # each another tensor, since what was measured once is remembered
        select(notebook, name)
        editor(notebook).get_by_role("slider").first.focus()
        share = processor_share()
        notebook.page.evaluate("window.drawn = 0")
        for key in map(BACK.__getitem__, MOTION):
            notebook.page.keyboard.press(key)
        expect(notebook.output(0).locator(".qw-results")).to_contain_text(MARK)
        notebook.page.wait_for_function("performance.now() - Math.max(window.lastKey, window.drawn) > 1500")
        expect(notebook.output(0).locator(".qw-results")).not_to_contain_text("…")
        found.append({"ms": notebook.page.evaluate("window.drawn - window.lastKey"), "processor": share})
    return found


if __name__ == "__main__":
    main()
