"""A small drawing of a bit histogram: bars for each bit position, positive values above the axis, negative ones below.

Static SVG with text labels, without scripts, in the colour of the surrounding text, so that it shows in light and dark.
"""

import html

import pandas as pd

BAR, GAP, HALF, MARGIN = 9, 1, 46, 16
LABELLED = 4
"""Every fourth bit has a label, so that there is room between two."""


def draw(positive: "pd.Series[int]", negative: "pd.Series[int]", title: str) -> str:
    """Give SVG that shows the counts of both signs; they share an index of bit positions, from high to low."""
    label = html.escape(title)
    if positive.empty:
        return f"<div>{label}: no finite nonzero values</div>"
    tallest = max(positive.max(), negative.max())
    marks = []
    bits = list(positive.index)
    labelled = [bit for bit in bits if bit % LABELLED == 0] or bits[:1]
    for place, bit in enumerate(bits):
        x = MARGIN + place * (BAR + GAP)
        for sign, counts, colour in (("positive", positive, "#3b78c3"), ("negative", negative, "#c2703d")):
            count = int(counts[bit])
            if count:
                height = max(1.0, HALF * count / tallest)
                y = HALF - height if sign == "positive" else HALF
                marks.append(
                    f'<rect x="{x}" y="{y + MARGIN:.1f}" width="{BAR}" height="{height:.1f}" fill="{colour}">'
                    f"<title>{count:,} {sign} values with leading bit 2^{bit}</title></rect>"
                )
        if bit in labelled:
            marks.append(f'<text x="{x + BAR / 2}" y="{2 * HALF + 2 * MARGIN + 6}" text-anchor="middle">2^{bit}</text>')
    width = 2 * MARGIN + len(bits) * (BAR + GAP)
    baseline = HALF + MARGIN
    return (
        f'<div><svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{label}" width="{width}"'
        f' height="{2 * HALF + 2 * MARGIN + 12}" style="font: 9px sans-serif; fill: currentColor">'
        f'<line x1="{MARGIN}" x2="{width - MARGIN}" y1="{baseline}" y2="{baseline}" stroke="currentColor"/>'
        f'{"".join(marks)}</svg><div style="font-size: 11px">{label}; blue above: positive, brown below: negative'
        "</div></div>"
    )
