"""Chart builders in one quiet style: numbers and labels in, a Plotly figure out.

Every figure is drawn in the light palette; `DARK` says which colour takes the place of which when the
reader's screen is dark. Points are rounded to five significant digits, so that ten years of days stay light.
"""

from __future__ import annotations

import html
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import plotly.graph_objects as go

from kairos.errors import InputError
from kairos.report.format import show

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    import numpy.typing as npt

    from kairos.report.format import Kind

    Day: TypeAlias = date | np.datetime64
    Dates: TypeAlias = Sequence[Day] | Sequence[str] | npt.NDArray[np.datetime64]
    Series: TypeAlias = Sequence[float] | npt.NDArray[np.floating[Any]]

INK, MUTED, RULE, PAPER = "#1f2933", "#5b6774", "#e2e6ea", "#ffffff"
BLUE, GREY, ORANGE, TEAL, PURPLE, OCHRE = "#1b5e9e", "#808b96", "#c75a11", "#1b8a7a", "#7b4fa3", "#a67c00"
CYCLE = (BLUE, GREY, ORANGE, TEAL, PURPLE, OCHRE)
DASHES = ("solid", "solid", "dot", "dash", "dashdot", "longdash")
# From the lowest group to the highest: orange through grey to blue.
LADDER = (
    "#b34700", "#cc6a1f", "#dd8c4a", "#dcae85", "#b9b3ac",
    "#a3adb8", "#83a6cc", "#5488bf", "#2f6cae", "#0f4c8a",
)  # fmt: skip
DARK = {
    INK: "#e4e8ec",
    MUTED: "#9aa5b1",
    RULE: "#2c343c",
    PAPER: "#161b20",
    BLUE: "#6cb0f0",
    GREY: "#97a2ad",
    ORANGE: "#f0935a",
    TEAL: "#4fc3b0",
    PURPLE: "#b794e0",
    OCHRE: "#d9b13b",
    **dict(
        zip(
            LADDER,
            (
                "#ff9a52", "#f0935c", "#d98c63", "#b98a6f", "#8f8680",
                "#7d8893", "#7398bd", "#6aa3d8", "#63acec", "#7cc4ff",
            ),
            strict=True,
        )
    ),
}  # fmt: skip

_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
_HEIGHT = 300
# From fine to coarse; the first that gives few enough ticks is taken.
_LOG_STEPS = ((1, 1.2, 1.5, 2, 2.5, 3, 4, 6, 8), (1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1,))
_TICKS: dict[Kind, str] = {
    "percent": ",.2~%",
    "ratio": ",.2~f",
    "coefficient": ",.3~f",
    "count": ",.2~f",
    "number": ",.3~g",
    "p_value": ",.3~f",
    "basis_points": ",.2~f",
    "money": ",.3~s",
    "text": ",.4~g",
}
_HOVER: dict[Kind, str] = {
    "percent": ",.2%",
    "ratio": ".2f",
    "coefficient": ".4f",
    "count": ",d",
    "number": ",.4~g",
    "p_value": ".3f",
    "basis_points": ",.2f",
    "money": ",.0f",
    "text": ",.4~g",
}


@dataclass(frozen=True)
class Estimate:
    """A labelled number with what is known of its precision; missing parts are NaN.

    Parameters
    ----------
    label : str
        What is estimated ("5 sessions", "2019", "Energy", "D10").
    value : float
        The estimate.
    low, high : float
        Bounds of its interval, 95 % unless the page says otherwise.
    t : float
        Its t-value.
    n : int or None
        Observations behind it.
    """

    label: str
    value: float
    low: float = math.nan
    high: float = math.nan
    t: float = math.nan
    n: int | None = None


@dataclass(frozen=True)
class Band:
    """A stretch of time behind a chart.

    Parameters
    ----------
    first, last : date or datetime64
        Where it begins and ends.
    colour : str
        One of the palette's.
    opacity : float
        From 0 to 1.
    low, high : float
        Which part of the height it takes, from 0 at the bottom to 1.
    """

    first: Day
    last: Day
    colour: str
    opacity: float
    low: float = 0.0
    high: float = 1.0


REGIMES = (
    "Behind it the regime: blue is a rising market, orange a falling one, white neither or unknown, and the "
    "strip at the bottom marks high volatility."
)
"""What the bands of regimes behind a chart mean."""


def lines(
    dates: Dates,
    series: Mapping[str, Series],
    *,
    kind: Kind = "number",
    split: Day | None = None,
    zero: bool = False,
) -> go.Figure:
    """Draw series over dates, gaps left open.

    Parameters
    ----------
    dates : T dates
        Shared by all series.
    series : Mapping[str, T floats]
        By name, drawn in that order; NaN is a gap.
    kind : Kind
        How the axis and the hover text write the values.
    split : date or datetime64, optional
        First out-of-sample day, marked by a line.
    zero : bool
        Whether the axis includes zero, with a line there.

    Raises
    ------
    InputError
        If a series has not one value per date.
    """
    figure = _figure(kind)
    days = _days(dates)
    for number, (name, values) in enumerate(series.items()):
        figure.add_scatter(
            x=days,
            y=_matched(days, _points(values, kind), name),
            name=_text(name),
            mode="lines",
            line={
                "color": CYCLE[number % len(CYCLE)],
                "width": 1.8 if number == 0 else 1.4,
                "dash": DASHES[number % len(DASHES)],
            },
            hovertemplate=_hover(kind),
        )
    figure.update_layout(showlegend=len(series) > 1)
    figure.update_xaxes(type="date", hoverformat="%Y-%m-%d", range=[days[0], days[-1]] if days else None)
    figure.update_yaxes(zeroline=zero, rangemode="tozero" if zero else "normal")
    if all(point is None for trace in figure.data for point in trace.y):
        figure.update_yaxes(showticklabels=False)
        figure.add_annotation(
            text="no values", x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False, font={"color": MUTED}
        )
    return _mark(figure, days, split)


def equity_curve(
    dates: Dates, wealth: Mapping[str, Series], *, log: bool = True, split: Day | None = None
) -> go.Figure:
    """Draw the growth of 1, by default on a logarithmic axis: equal distances are equal percentages.

    A series that touches zero can't be drawn on a logarithmic axis; the axis is then linear.
    """
    figure = lines(dates, wealth, kind="ratio", split=split)
    values = np.concatenate([np.asarray(v, dtype=float) for v in wealth.values()] or [np.ones(1)])
    values = values[np.isfinite(values)]
    if log and values.size and values.min() > 0:
        ticks = _log_ticks(float(values.min()), float(values.max()))
        figure.update_yaxes(type="log", tickvals=ticks, ticktext=[f"{tick:,.10g}" for tick in ticks])
    figure.update_layout(height=360)
    return figure


def shaded(figure: go.Figure, bands: Sequence[Band]) -> go.Figure:
    """Lay bands behind a chart over dates."""
    shapes = [
        {
            "type": "rect", "layer": "below", "xref": "x", "yref": "paper", "line": {"width": 0},
            "x0": _days([band.first])[0], "x1": _days([band.last])[0], "y0": band.low, "y1": band.high,
            "fillcolor": band.colour, "opacity": band.opacity,
        }
        for band in bands
    ]  # fmt: skip
    figure.layout.shapes = [*shapes, *(shape.to_plotly_json() for shape in figure.layout.shapes)]
    return figure


def drawdown(dates: Dates, drawdowns: Mapping[str, Series], *, split: Day | None = None) -> go.Figure:
    """Draw the fall from the running maximum (fractions ≤ 0); the first series is filled."""
    figure = lines(dates, drawdowns, kind="percent", split=split, zero=True)
    figure.update_traces(selector=0, fill="tozeroy", fillcolor="rgba(27,94,158,0.16)")
    figure.update_layout(height=220)
    return figure


def bars(dates: Dates, values: Series, *, kind: Kind = "number", split: Day | None = None) -> go.Figure:
    """Draw one bar per date, blue above zero and orange below; parameters as in `lines`."""
    figure = _figure(kind)
    days = _days(dates)
    points = _matched(days, _points(values, kind), "bars")
    figure.add_bar(x=days, y=points, marker={"color": _signed(points)}, hovertemplate=_hover(kind))
    figure.update_layout(showlegend=False, bargap=0.15)
    figure.update_yaxes(zeroline=True)
    return _mark(figure, days, split)


def intervals(
    estimates: Sequence[Estimate], *, kind: Kind = "coefficient", across: bool = False
) -> go.Figure:
    """Draw estimates as bars with their intervals; an estimate without bounds has a bar alone.

    Parameters
    ----------
    estimates : Sequence[Estimate]
        Drawn in that order.
    kind : Kind
        How the values are written.
    across : bool
        Horizontal bars, the first at the top: for long labels such as sectors.
    """
    labels = [_text(e.label) for e in estimates]
    values, low, high = (
        np.array([getattr(e, part) for e in estimates], dtype=float) for part in ("value", "low", "high")
    )
    points = _points(values, kind)
    span = {
        "type": "data",
        "array": _points(high - values, kind),
        "arrayminus": _points(values - low, kind),
        "color": INK,
        "thickness": 1.2,
        "width": 3,
        "visible": bool(np.isfinite(high).any()),  # else Plotly draws the ends of intervals without length
    }
    marker = {"color": _signed(points), "opacity": 0.75}
    figure = _figure(kind)
    figure.update_layout(showlegend=False, bargap=0.4, hovermode="closest")
    if across:
        hover = f"%{{y}}: {_hover(kind, 'x')}<extra></extra>"
        figure.add_bar(x=points, y=labels, orientation="h", marker=marker, error_x=span, hovertemplate=hover)
        figure.update_layout(height=70 + 26 * len(labels))
        figure.update_xaxes(tickformat=_TICKS[kind], nticks=6, zeroline=True, showgrid=True, showline=False)
        figure.update_yaxes(
            type="category", autorange="reversed", tickformat="", dtick=1, showgrid=False, automargin=True
        )
    else:
        hover = f"%{{x}}: {_hover(kind)}<extra></extra>"
        figure.add_bar(x=labels, y=points, marker=marker, error_y=span, hovertemplate=hover)
        figure.update_xaxes(type="category")
        figure.update_yaxes(zeroline=True)
    return figure


def waterfall(labels: Sequence[str], levels: Series, *, kind: Kind = "percent") -> go.Figure:
    """Draw how a number gets from its first level to its last: the first level, the steps, the last one.

    Parameters
    ----------
    labels : L texts
        The first one names the first level, the others the step that leads to theirs.
    levels : L floats
        After each step.
    kind : Kind
        How the values are written.

    Raises
    ------
    InputError
        If there is not one level a label.
    """
    points = np.asarray(levels, dtype=float)
    if points.shape != (len(labels),):
        raise InputError(f"waterfall: {points.size} levels for {len(labels)} labels")
    steps = np.diff(points)
    names = [_text(label).replace(" ", "<br>") for label in (*labels, "result")]
    bases = [0.0, *points[:-1].tolist(), 0.0]
    heights = _points([points[0], *steps, points[-1]], kind)
    colours = [GREY, *_signed(heights[1:-1]), INK]
    signs = ["", *("+" if (step or 0.0) > 0 else "" for step in heights[1:-1]), ""]
    scale = 1e4 if kind == "basis_points" else 1.0
    figure = _figure(kind)
    figure.add_bar(
        x=names,
        y=heights,
        base=[base * scale for base in bases],
        marker={"color": colours, "opacity": 0.85},
        text=[f"{sign}{show(height, kind)}" for sign, height in zip(signs, heights, strict=True)],
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{x}: %{text}<extra></extra>",
    )
    figure.update_layout(showlegend=False, bargap=0.35, hovermode="closest", height=320)
    figure.update_xaxes(type="category", tickangle=0)
    figure.update_yaxes(zeroline=True)
    return figure


def heatmap(
    rows: Sequence[str],
    columns: Sequence[str],
    values: Sequence[Series] | npt.NDArray[np.float64],
    *,
    kind: Kind = "coefficient",
    limit: float,
) -> go.Figure:
    """Draw a table of numbers as colours: blue above zero, orange below, blank where missing.

    Parameters
    ----------
    rows, columns : Sequence[str]
        Labels; the first row is at the top.
    values : (rows, columns)
        What is drawn.
    kind : Kind
        How the values are written.
    limit : float
        Size from which a value has its full colour.

    Raises
    ------
    InputError
        If the values don't have the shape of the labels.
    """
    table = np.asarray(values, dtype=float)
    if table.shape != (len(rows), len(columns)):
        raise InputError(
            f"heatmap: values have shape {table.shape} for {len(rows)} rows and {len(columns)} columns"
        )
    scale = 1e4 if kind == "basis_points" else 1.0
    figure = _figure(kind)
    figure.add_heatmap(
        z=[_points(row, kind) for row in table],
        x=[_text(label) for label in columns],
        y=[_text(label) for label in rows],
        zmin=-limit * scale,
        zmax=limit * scale,
        colorscale=[[0.0, ORANGE], [0.5, PAPER], [1.0, BLUE]],
        xgap=1,
        ygap=1,
        hoverongaps=False,
        hovertemplate=f"%{{y}}, %{{x}}: {_hover(kind, 'z')}<extra></extra>",
        colorbar={
            "thickness": 10,
            "outlinewidth": 0,
            "tickformat": _TICKS[kind],
            "nticks": 5,
            "tickfont": {"color": MUTED, "size": 12},
        },
    )
    figure.update_layout(height=80 + 22 * max(len(rows), 3), hovermode="closest")
    figure.update_xaxes(type="category", showline=False, ticks="")
    figure.update_yaxes(
        type="category", autorange="reversed", tickformat="", dtick=1, showgrid=False, automargin=True
    )
    return figure


def distribution(values: Series, *, kind: Kind = "percent") -> go.Figure:
    """Draw how often which value occurred, in equal classes from the least to the greatest finite value.

    There are twice as many classes as the root of the number of values, at least 8 and at most 60.
    """
    sample = np.asarray(values, dtype=float)
    sample = sample[np.isfinite(sample)]
    counts, edges = np.histogram(sample, bins=int(np.clip(2 * math.sqrt(sample.size), 8, 60)))
    figure = _figure("count")
    figure.add_bar(
        x=_points((edges[:-1] + edges[1:]) / 2, kind),
        y=counts.tolist(),
        marker={"color": BLUE, "opacity": 0.85},
        hovertemplate=f"around {_hover(kind, 'x')}: %{{y:,d}}<extra></extra>",
    )
    figure.update_layout(showlegend=False, bargap=0.04, hovermode="closest")
    figure.update_xaxes(tickformat=_TICKS[kind], zeroline=True)
    return figure


def groups(dates: Dates, wealth: Mapping[str, Series], *, split: Day | None = None) -> go.Figure:
    """Draw the growth of 1 of ordered groups, lowest first, coloured from orange to blue."""
    steps = np.linspace(0, len(LADDER) - 1, max(len(wealth), 2)).round().astype(int)
    figure = equity_curve(dates, wealth, split=split)
    for trace, step in zip(figure.data, steps, strict=False):
        trace.line.update(color=LADDER[step], dash="solid", width=1.4)
    return figure


def _figure(kind: Kind) -> go.Figure:
    axis = {
        "showgrid": False,
        "zeroline": False,
        "zerolinecolor": MUTED,
        "zerolinewidth": 1,
        "gridcolor": RULE,
        "linecolor": MUTED,
        "tickcolor": MUTED,
        "tickfont": {"color": MUTED, "size": 12},
    }
    return go.Figure(
        layout={
            "template": "none",
            "height": _HEIGHT,
            "autosize": True,
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "font": {"family": _FONT, "size": 12, "color": INK},
            "margin": {"l": 52, "r": 14, "t": 8, "b": 34},
            "hovermode": "x unified",
            "hoverlabel": {"bgcolor": PAPER, "bordercolor": RULE, "font": {"color": INK, "size": 12}},
            "legend": {
                "orientation": "h",
                "x": 0,
                "xanchor": "left",
                "y": 1.0,
                "yanchor": "bottom",
                "font": {"color": INK, "size": 12},
            },
            "xaxis": {
                **axis,
                "showline": True,
                "ticks": "outside",
                "ticklen": 4,
                "automargin": "height",
                "spikecolor": MUTED,
                "spikethickness": 1,
            },
            "yaxis": {**axis, "showgrid": True, "tickformat": _TICKS[kind], "nticks": 6},
        }
    )


def _hover(kind: Kind, axis: str = "y") -> str:
    return f"%{{{axis}:{_HOVER[kind]}}}"


def _text(label: str) -> str:
    # Plotly reads its labels as a small HTML; data must not become markup.
    return html.escape(label)


def _days(dates: Dates) -> list[str]:
    days: list[str] = np.asarray(dates, dtype="datetime64[D]").astype(str).tolist()
    return days


def _points(values: Series, kind: Kind) -> list[float | None]:
    """Round to five significant digits; Plotly has no format for basis points, so they are scaled here."""
    scale = 1e4 if kind == "basis_points" else 1.0
    scaled = (np.asarray(values, dtype=float) * scale).tolist()
    return [float(f"{value:.5g}") if math.isfinite(value) else None for value in scaled]


def _matched(days: list[str], points: list[float | None], name: str) -> list[float | None]:
    if len(points) != len(days):
        raise InputError(
            f"chart of {name}: {len(points)} values for {len(days)} dates; give one value per date"
        )
    return points


def _signed(points: list[float | None]) -> list[str]:
    return [ORANGE if point is not None and point < 0 else BLUE for point in points]


def _log_ticks(low: float, high: float) -> list[float]:
    """Find a few round numbers between two positive ones."""
    if high < 3 * low:
        return _linear_ticks(low, high)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in _LOG_STEPS:
        ticks = [float(f"{step * 10.0**decade:.3g}") for decade in decades for step in steps]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) <= 7:
            break
    return ticks


def _linear_ticks(low: float, high: float) -> list[float]:
    least = max((high - low) / 6, high * 1e-6)
    decade = 10.0 ** math.floor(math.log10(least))
    step = next(factor * decade for factor in (1, 2, 5, 10) if factor * decade >= least)
    ticks: list[float] = (np.arange(math.ceil(low / step), math.floor(high / step) + 1) * step).tolist()
    return ticks


def _mark(figure: go.Figure, days: list[str], split: Day | None) -> go.Figure:
    """Draw a line at the first out-of-sample day, unless all days are on one side of it.

    Its label has a strip above the data for itself, so that it hides nothing.
    """
    day = "" if split is None else _days([split])[0]
    if not day or not days or not days[0] < day <= days[-1]:
        return figure
    late = sum(other < day for other in days) > len(days) / 2
    figure.add_shape(
        type="line", x0=day, x1=day, y0=0, y1=1, yref="paper", line={"color": INK, "width": 1, "dash": "dot"}
    )
    figure.add_annotation(
        x=day, y=1, yref="paper", xanchor="right" if late else "left", yanchor="top", text="out of sample →",
        showarrow=False, borderpad=0, font={"size": 11, "color": INK},
    )  # fmt: skip
    figure.update_yaxes(domain=[0, 0.9])
    return figure
