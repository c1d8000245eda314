"""A sampled signal, quantized as one watches and listens: what a bit is.

The signal, its error and its SQNR come from `qwidgets.teaching`.
"""

import math
from typing import Any

import bqplot
import ipywidgets
import numpy as np
import traitlets

from qwidgets.errors import DataError
from qwidgets.formats import FixedPoint
from qwidgets.teaching import (
    Quantized,
    Signal,
    chirp,
    quantize_signal,
    read_signal,
    rule_db,
    signal_from_array,
    sine,
    sqnr_by_word_length,
    to_wav,
)
from qwidgets.widgets.controls import (
    ACCENT,
    OVERFLOW,
    close_tree,
    escaped,
    guarded,
    heard_whole,
    label_ticks,
    labelled_axis,
    number_text,
)
from qwidgets.widgets.teaching.teaching_view import TeachingView, in_words, row

MAKERS = {"sine": sine, "chirp": chirp}
OWN = "own signal"
AMPLITUDE = 0.87
"""Nothing overflows in the four bits that one begins with."""
LENGTHS = range(2, 17)
ORIGINAL, QUANTIZED = "#888888", ACCENT


class SineScope(TeachingView):
    """A signal before and after a format: waveform, error, and SQNR beside the rule of 6.02 dB a bit.

    Parameters
    ----------
    signal
        A `qwidgets.teaching.Signal`, or one's own samples; by default a sine.
    fmt
        The format to begin with.

    Attributes
    ----------
    signal, format
        May be set.
    result
        The quantized signal with its error, SQNR, and overflow.

    Examples
    --------
    >>> scope = SineScope(sine(0.99), FixedPoint(8, 7))
    >>> round(scope.result.rule_db, 1), abs(scope.result.sqnr_db - scope.result.rule_db) < 0.3
    (49.9, True)
    """

    signal = traitlets.Any()

    _state = ("format", "signal")

    def __init__(self, signal: Any = None, fmt: FixedPoint = FixedPoint(4, 3)) -> None:  # noqa: B008
        super().__init__(fmt, signal=sine(AMPLITUDE) if signal is None else signal)

    @property
    def result(self) -> Quantized:
        """The signal after the format as it is now."""
        return quantize_signal(self.signal, self.format)

    @traitlets.validate("signal")
    def _as_signal(self, proposal: Any) -> Signal:
        value = proposal["value"]
        return value if isinstance(value, Signal) else signal_from_array(value)

    def _build(self) -> tuple[ipywidgets.Widget, ...]:
        kind = self.signal.name if self.signal.name in MAKERS else OWN
        self._kind = heard_whole(ipywidgets.Dropdown)(options=[*MAKERS, OWN], value=kind, description="signal")
        self._kind.style.description_width = "44px"
        self._kind.layout.width = "170px"
        self._upload = heard_whole(ipywidgets.FileUpload)(accept=".wav,.csv,.txt", description="WAV or CSV")
        self._upload.layout.width = "130px"
        self._amplitude = _slider("amplitude", AMPLITUDE, 0.0, 2.0, 0.01)
        self._frequency = _slider("frequency", 441.0, 20.0, 3000.0, 1.0)
        self._span = heard_whole(ipywidgets.IntSlider)(
            120, 20, 2000, 20, description="samples", layout=ipywidgets.Layout(width="270px")
        )
        self._listen = ipywidgets.Button(description="Listen", icon="volume-up", layout=ipywidgets.Layout(width="92px"))
        self._sound = ipywidgets.VBox()
        self._kind.observe(self._on_make, "value")
        self._amplitude.observe(self._on_make, "value")
        self._frequency.observe(self._on_make, "value")
        self._span.observe(self._on_state, "value")
        self._upload.observe(self._on_upload, "value")
        self._listen.on_click(self._on_listen)
        self._figures = ipywidgets.HTML()
        left = ipywidgets.VBox([*self._build_traces()])
        right = ipywidgets.VBox([self._build_rule(), self._figures])
        left.layout.flex, right.layout.flex = "2 1 420px", "1 1 260px"
        for column in (left, right):
            column.layout.min_width, column.layout.max_width = "0", "100%"
        return (
            row(self._kind, self._amplitude, self._frequency, self._upload, tight=True),
            row(left, right),
            row(self._span, self._listen, self._sound, tight=True),
            row(self._controls.boxes, self._controls.notation, tight=True),
            self._controls.choices,
        )

    def _build_traces(self) -> tuple[bqplot.Figure, bqplot.Figure]:
        self._time = bqplot.LinearScale(min=0, max=120)
        self._level, self._error_level = bqplot.LinearScale(), bqplot.LinearScale()
        scales = {"x": self._time, "y": self._level}
        self._before = bqplot.Lines(scales=scales, colors=[ORIGINAL], stroke_width=1.5)
        self._after = bqplot.Lines(scales=scales, colors=[QUANTIZED], stroke_width=2, interpolation="step-after")
        self._error = bqplot.Lines(
            scales={"x": self._time, "y": self._error_level},
            colors=[OVERFLOW],
            stroke_width=1,
            interpolation="step-after",
        )
        upper = _figure([self._before, self._after], self._time, self._level, 190, "")
        lower = _figure([self._error], self._time, self._error_level, 120, "error")
        self._level_axis, self._error_axis = upper.axes[1], lower.axes[1]
        return upper, lower

    def _build_rule(self) -> bqplot.Figure:
        bits, ratio = bqplot.LinearScale(min=1.5, max=16.5), bqplot.LinearScale(min=0, max=105)
        scales = {"x": bits, "y": ratio}
        rule = bqplot.Lines(
            x=list(LENGTHS),
            y=[rule_db(n) for n in LENGTHS],
            scales=scales,
            colors=[ORIGINAL],
            line_style="dashed",
        )
        self._curve = bqplot.Scatter(x=[2], y=[0], scales=scales, colors=[QUANTIZED], default_size=26)
        self._here = bqplot.Scatter(x=[2], y=[0], scales=scales, colors=[OVERFLOW], marker="diamond", default_size=90)
        figure = _figure([rule, self._curve, self._here], bits, ratio, 190, "SQNR, dB")
        figure.axes[0].label = "word length, bits"
        label_ticks(figure.axes[1], {decibels: f"{decibels}" for decibels in (0, 25, 50, 75, 100)})
        figure.fig_margin = {"top": 6, "bottom": 40, "left": 52, "right": 12}
        return figure

    def _show(self) -> None:
        self._silence()
        own = self.signal.name not in MAKERS
        if own:
            self._kind.value = OWN
        self._frequency.disabled = self._amplitude.disabled = own
        self._seen = result = self.result
        size = min(self._span.value, self.signal.samples.size)
        places = np.arange(size)
        before, after, error = (part[:size] for part in (self.signal.samples, result.signal.samples, result.error))
        self._time.max = max(size - 1, 1)
        reach = 1.05 * max(1.0, float(np.abs(before).max()), float(np.abs(np.nan_to_num(after)).max()))
        self._level.min, self._level.max = -reach, reach
        label_ticks(self._level_axis, _ticks(reach))
        reach = 1.1 * max(float(np.abs(np.nan_to_num(error)).max()), self.format.step / 2)
        self._error_level.min, self._error_level.max = -reach, reach
        label_ticks(self._error_axis, _ticks(reach))
        for mark, samples in ((self._before, before), (self._after, after), (self._error, error)):
            with mark.hold_sync():
                mark.x, mark.y = places, samples
        curve = sqnr_by_word_length(self.signal, self.format, LENGTHS)
        finite = curve[np.isfinite(curve)].clip(lower=0)
        with self._curve.hold_sync():
            self._curve.x, self._curve.y = finite.index.to_numpy(), finite.to_numpy()
        here = [result.sqnr_db] if np.isfinite(result.sqnr_db) else []
        with self._here.hold_sync():
            self._here.x, self._here.y = [self.format.word_length] * len(here), np.clip(here, 0, 105)
        self._controls.show(self.format, max(4, self.format.msb), min(-16, self.format.lsb), enabled=True)
        self._figures.value = self._table()

    def _table(self) -> str:
        result, fmt = self._seen, self.format
        lines = {
            "SQNR, measured": number_text(result.sqnr_db, "dB"),
            f"rule: 6.02 · {fmt.word_length} + 1.76": number_text(result.rule_db, "dB"),
            "outside the range": f"{result.overflow:,} of {self.signal.samples.size:,} samples",
        }
        rows = "".join(f"<tr><th scope='row'>{name}</th><td>{figure}</td></tr>" for name, figure in lines.items())
        key = (
            f"<span class='qw-quiet'><i class='qw-key' style='background:{ORIGINAL}'></i>original, rule (dashed)"
            " &emsp; "
            f"<i class='qw-key' style='background:{QUANTIZED}'></i>quantized &emsp; "
            f"<i class='qw-key' style='background:{OVERFLOW}'></i>error, this format (diamond)</span>"
        )
        return f"<table class='qw-side'>{rows}</table>{key}"

    def _describe(self) -> str:
        result = self._seen
        beyond = f" {result.overflow:,} samples overflow and {_fate(self.format)}." if result.overflow else ""
        measured = f"SQNR {number_text(result.sqnr_db, 'dB')}, the rule says {number_text(result.rule_db, 'dB')}"
        return f"{self.signal.name}, {self.signal.seconds:.3g} s. {in_words(self.format)}: {measured}.{beyond}"

    def _static_page(self) -> str:
        return f"<p>{escaped(self._describe())}</p>"

    def _silence(self) -> None:
        """Take away a sound that no longer is what is seen."""
        for element in self._sound.children:
            close_tree(element)
        self._sound.children = ()

    @guarded
    def _on_make(self, _: Any) -> None:
        maker = MAKERS.get(self._kind.value)
        if maker is sine:
            self.signal = sine(self._amplitude.value, self._frequency.value)
        elif maker:
            self.signal = chirp(self._amplitude.value, highest=self._frequency.value)
        elif self.signal.name in MAKERS:
            raise DataError("there is no signal of your own yet: upload a WAV or CSV file, or set .signal to an array")

    @guarded
    def _on_upload(self, event: Any) -> None:
        if event.new:
            file = event.new[0]
            self.signal = read_signal(file["name"], bytes(file["content"]))

    @guarded
    def _on_listen(self, _: Any) -> None:
        self._silence()
        parts = []
        for label, signal in (("original", self.signal), ("quantized", self.result.signal)):
            audio = ipywidgets.Audio(value=to_wav(signal), format="wav", autoplay=False, loop=False)
            parts += [ipywidgets.Label(label), audio]
        self._sound.children = [row(*parts, tight=True)]


def _fate(fmt: FixedPoint) -> str:
    return "wrap to the other side" if fmt.overflow == "wrap" else "saturate"


def _ticks(reach: float) -> dict[float, str]:
    """Places on an axis from ``-reach`` to ``reach``, powers of two apart."""
    step = 2.0 ** (math.floor(math.log2(reach)) - 1)
    return {place * step: f"{place * step:.4g}" for place in range(-3, 4) if abs(place * step) <= reach}


def _slider(name: str, value: float, least: float, most: float, step: float) -> ipywidgets.FloatSlider:
    slider = heard_whole(ipywidgets.FloatSlider)(value, min=least, max=most, step=step, description=name)
    slider.style.description_width = "66px"
    slider.layout.width = "250px"
    return slider


def _figure(marks: list[Any], x: Any, y: Any, height: int, label: str) -> bqplot.Figure:
    upright = labelled_axis(y, "left")
    upright.label = label
    axes = [labelled_axis(x, "bottom"), upright]
    for axis in axes:
        axis.label_color = "gray"
    return bqplot.Figure(
        marks=marks,
        axes=axes,
        fig_margin={"top": 6, "bottom": 22, "left": 52, "right": 12},
        padding_y=0.0,
        display_toolbar=False,
        layout=ipywidgets.Layout(width="100%", height=f"{height}px", min_width="0"),
    )
