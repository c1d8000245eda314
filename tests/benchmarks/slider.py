"""How long the workbench takes to show what a person does: a slider that moves, a sort, a filter, a selection.

    python -m tests.benchmarks.slider [--tensors 300 1000] [--motions 8] [--json slider.json]

A real JupyterLab with a real kernel in a headless Chromium. A motion is nine keys in a row; what is timed goes from the
last of them to the newest value being drawn. A walk is twenty keys, one every 50 ms, timed from the first. The
processor's share that is left by whatever else runs is told beside.
"""

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import expect

from tests.benchmarks.opened_lab import opened_lab
from tests.browser.lab import NotebookPage
from tests.browser.workbench_page import editor, made_up, row, select

TENSOR = "blocks.0.conv.weight"
GOALS = {"editor": 100, "heat map": 100, "table": 100, "walk": 1200, "sort": 100, "filter": 100, "select": 100}
MOTION = ["ArrowRight", "ArrowRight", "ArrowLeft"] * 2 + ["ArrowRight"] * 3
"""To and fro, and to a window at the end that was not drawn on the way."""
WALK = ["ArrowRight"] * 3 + ["ArrowLeft", "ArrowRight"] * 7 + ["ArrowRight"] * 3
BACK = {"ArrowRight": "ArrowLeft", "ArrowLeft": "ArrowRight"}

# When each view was last drawn, and when the table first showed a window.
WATCH = """tensor => {
    window.seen = {};
    addEventListener('keydown', () => { window.lastKey = performance.now(); }, true);
    const watch = (element, options, drawn) => new MutationObserver(drawn).observe(element, options);
    const inside = {childList: true, subtree: true, characterData: true};
    watch(document.querySelector('.qw-editor table.qw-figures').parentElement, inside,
        () => { window.seen['editor'] = performance.now(); });
    watch(document.querySelector('.qw-aligned image'), {attributes: true},
        () => { window.seen['heat map'] = performance.now(); });
    watch(document.querySelector('[role=treegrid]'), inside, () => {
        const cell = document.querySelector(`[data-tensor="${tensor}"] [data-column=window]`);
        if (cell) window.seen[cell.textContent] ??= performance.now();
    });
}"""
# What an act takes until the page has been drawn anew.
ACT = """async act => {
    const grid = document.querySelector('[role=treegrid]');
    const find = document.querySelector('input[type=search]');
    const began = performance.now();
    if (act === 'sort') grid.querySelector('[role=columnheader][data-column=sqnr_db] button').click();
    if (act === 'filter') {
        find.value = find.value ? '' : 'weight';
        find.dispatchEvent(new Event('input'));
    }
    if (act === 'select') grid.querySelectorAll('[role=row][data-tensor]')[4].click();
    await new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(drawn)));
    return performance.now() - began;
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tensors", type=int, nargs="+", default=[300, 1000])
    parser.add_argument("--motions", type=int, default=8)
    parser.add_argument("--json", type=Path, default=Path(__file__).with_suffix(".json"))
    options = parser.parse_args()
    found = {}
    with opened_lab() as lab:
        for tensors in options.tensors:
            notebook = lab.new(made_up(f"tensors({tensors})"))
            notebook.run_all()
            expect(notebook.output(0).get_by_text(f"{tensors} tensors", exact=True)).to_be_visible()
            found[tensors] = timed(notebook, options.motions)
            print_table(tensors, found[tensors])
            lab.close_notebooks()
    options.json.write_text(json.dumps(found, indent=1) + "\n")


def timed(notebook: NotebookPage, motions: int) -> dict[str, list[float]]:
    """Give what each took, so many times, in ms, and the processor's share."""
    select(notebook, TENSOR)
    expect(row(notebook, TENSOR)).to_be_visible()
    notebook.page.evaluate(WATCH, TENSOR)
    found: dict[str, list[float]] = {name: [] for name in ("processor", *GOALS)}
    for motion in range(motions):
        found["processor"].append(processor_share())
        # Every other one back, so that the rail does not end.
        for keys, by, pause in ((MOTION, -5, 0), (WALK, -6, 50)):
            back = motion % 2
            moved = moved_by(notebook, [BACK[key] for key in keys] if back else keys, -by if back else by, pause)
            if pause:
                found["walk"].append(max(moved.values()) + (len(keys) - 1) * pause)
            else:
                for view, wait in moved.items():
                    found[view].append(wait)
    for act in ("sort", "filter", "select"):
        for _ in range(motions):
            found[act].append(notebook.page.evaluate(ACT, act))
            notebook.page.wait_for_timeout(300)
    return found


def moved_by(notebook: NotebookPage, keys: list[str], by: int, pause: int) -> dict[str, float]:
    """Press keys on the slider, and give for each view the ms from the last of them to the newest value."""
    before = notebook.value(f"plan[{TENSOR!r}].msb")
    editor(notebook).get_by_role("slider").first.focus()
    notebook.page.evaluate("window.seen = {}")
    for key in keys:
        notebook.page.keyboard.press(key)
        if pause:
            notebook.page.wait_for_timeout(pause)
    notebook.wait_for_value(f"plan[{TENSOR!r}].msb", before + by)
    notebook.page.wait_for_function("performance.now() - window.lastKey > 1000")
    window = notebook.value(f"superscript(plan[{TENSOR!r}].window)")
    seen: dict[str, Any] = notebook.page.evaluate("({...window.seen, lastKey: window.lastKey})")
    drawn = {"editor": seen["editor"], "heat map": seen["heat map"], "table": seen[window]}
    return {view: max(at - seen["lastKey"], 0.0) for view, at in drawn.items()}


def print_table(tensors: int, found: dict[str, list[float]]) -> None:
    print(f"{tensors} tensors, ms\n{'':10}{'best':>8}{'median':>8}{'worst':>8}{'goal':>8}")
    for name, goal in GOALS.items():
        waits = found[name]
        print(f"{name:10}{min(waits):8.0f}{statistics.median(waits):8.0f}{max(waits):8.0f}{goal:8}")
    print(f"of a processor there was {100 * statistics.median(found['processor']):.0f} % to be had (median)\n")


def processor_share() -> float:
    """How much of a processor this process gets: 1 on a machine that is free."""
    wall, cpu = time.perf_counter(), time.process_time()
    while time.perf_counter() - wall < 0.25:
        sum(range(10_000))
    return (time.process_time() - cpu) / (time.perf_counter() - wall)


if __name__ == "__main__":
    main()
