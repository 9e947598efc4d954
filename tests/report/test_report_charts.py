import json
import re
from datetime import date
from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kairos.errors import InputError
from kairos.report import Estimate, charts

DAYS = ["2020-01-02", "2020-01-03", "2020-01-06", "2020-01-07"]


def every_chart(split=None):
    one, two = {"A": [1, 1.1, 1.2, 1.3]}, {"A": [1, 1.1, 1.2, 1.3], "B": [1, 0.9, 0.8, 1.0]}
    estimates = [Estimate("x", 0.1, 0.05, 0.15), Estimate("y", -0.2)]
    return [
        charts.lines(DAYS, two, kind="percent", split=split),
        charts.equity_curve(DAYS, one, split=split),
        charts.drawdown(DAYS, {"A": [0, -0.1, -0.2, 0]}, split=split),
        charts.bars(DAYS, [1, -1, 2, np.nan], split=split),
        charts.groups(DAYS, two, split=split),
        charts.intervals(estimates),
        charts.intervals(estimates, across=True),
        charts.distribution([0.1, 0.2, 0.2, -0.3]),
    ]


def luminance(colour):
    channels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_points_keep_five_significant_digits_and_gaps_stay_open():
    figure = charts.lines(DAYS, {"A": [1.23456789, np.nan, -0.000123456, np.inf]})
    assert list(figure.data[0].y) == [1.2346, None, -0.00012346, None]
    assert list(figure.data[0].x) == DAYS


def test_dates_may_be_dates_or_datetime64():
    expected = list(charts.lines(DAYS, {"A": range(4)}).data[0].x)
    for dates in ([date.fromisoformat(day) for day in DAYS], np.array(DAYS, dtype="datetime64[ns]")):
        assert list(charts.lines(dates, {"A": range(4)}).data[0].x) == expected


def test_a_series_of_another_length_is_refused():
    with pytest.raises(InputError, match=r"chart of B: 3 values for 4 dates"):
        charts.lines(DAYS, {"A": range(4), "B": range(3)})
    with pytest.raises(InputError, match="5 values for 4 dates"):
        charts.bars(DAYS, range(5))


def test_ten_years_of_three_series_stay_light():
    days = np.arange("2010-01-01", "2017-01-01", dtype="datetime64[D]")
    walk = np.exp(np.random.default_rng(1).normal(0, 0.01, (3, len(days))).cumsum(axis=1))
    figure = charts.equity_curve(days, dict(zip("abc", walk, strict=True)))
    assert len(figure.to_json()) < 3 * len(days) * 24 + 5000


def test_wealth_is_drawn_on_a_logarithmic_axis_unless_it_is_ruined():
    assert charts.equity_curve(DAYS, {"A": [1, 2, 3, 4]}).layout.yaxis.type == "log"
    assert charts.equity_curve(DAYS, {"A": [1, 2, 3, 4]}, log=False).layout.yaxis.type != "log"
    assert charts.equity_curve(DAYS, {"A": [1, 0.5, 0, 0]}).layout.yaxis.type != "log"


@given(st.floats(0.01, 100), st.floats(1.0005, 1e5))
def test_a_logarithmic_axis_has_a_readable_number_of_round_ticks(low, ratio):
    high = low * ratio
    layout = charts.equity_curve(DAYS[:2], {"A": [low, high]}).layout.yaxis
    ticks = np.array(layout.tickvals)
    assert 2 <= len(ticks) <= 9
    assert np.all((ticks >= low * 0.999) & (ticks <= high * 1.001))
    assert np.all(np.diff(ticks) > 0)
    assert len(set(layout.ticktext)) == len(ticks)
    assert max(len(text.replace(",", "")) for text in layout.ticktext) <= 8


def test_a_constant_curve_can_be_drawn():
    assert charts.equity_curve(DAYS, {"A": [1, 1, 1, 1]}).layout.yaxis.type == "log"


def test_intervals_are_distances_from_the_estimate():
    figure = charts.intervals([Estimate("x", 0.10, 0.04, 0.19), Estimate("y", -0.2)], kind="percent")
    (bar,) = figure.data
    assert list(bar.y) == [0.1, -0.2]
    assert list(bar.error_y.array) == [0.09, None]
    assert list(bar.error_y.arrayminus) == [0.06, None]
    assert list(bar.marker.color) == [charts.BLUE, charts.ORANGE]


def test_intervals_across_start_at_the_top():
    figure = charts.intervals([Estimate("first", 0.1), Estimate("second", 0.2)], across=True)
    assert list(figure.data[0].y) == ["first", "second"]
    assert figure.layout.yaxis.autorange == "reversed"


def test_basis_points_are_scaled_for_the_axis():
    assert list(charts.bars(DAYS, [0.0001, 0.00075, -0.001, 0], kind="basis_points").data[0].y) == [
        1,
        7.5,
        -10,
        0,
    ]


def test_a_distribution_counts_every_finite_value_once():
    values = np.random.default_rng(2).normal(size=1000)
    values[:10] = np.nan
    bar = charts.distribution(values).data[0]
    assert sum(bar.y) == 990
    assert len(bar.y) == 60
    width = np.ptp(values[10:]) / 60
    inside = np.sum(np.abs(values[10:] - bar.x[30]) < width / 2 * 0.999)
    assert abs(inside - bar.y[30]) <= 1


def test_few_values_have_few_classes():
    assert len(charts.distribution([0.1, 0.2]).data[0].y) == 8
    assert len(charts.distribution(np.arange(100)).data[0].y) == 20
    assert sum(charts.distribution([np.nan]).data[0].y) == 0


def test_a_chart_without_values_says_so():
    empty = charts.lines(DAYS, {"A": [np.nan] * 4})
    assert [note.text for note in empty.layout.annotations] == ["no values"]
    assert not charts.lines(DAYS, {"A": [np.nan, 1, np.nan, np.nan]}).layout.annotations


def test_groups_run_from_orange_to_blue():
    figure = charts.groups(DAYS, {f"Q{k}": [1, 1, 1, 1.0 + k] for k in range(5)})
    colours = [trace.line.color for trace in figure.data]
    assert (colours[0], colours[-1]) == (charts.LADDER[0], charts.LADDER[-1])
    assert colours == sorted(colours, key=charts.LADDER.index)
    assert len(set(colours)) == 5


@pytest.mark.parametrize(
    ("split", "drawn"),
    [
        ("2020-01-03", True),
        ("2020-01-05", True),
        ("2020-01-07", True),
        ("2020-01-02", False),
        ("2021-01-01", False),
    ],
)
def test_the_out_of_sample_day_is_marked_where_it_divides_the_series(split, drawn):
    figure = charts.lines(DAYS, {"A": range(4)}, split=date.fromisoformat(split))
    assert [shape.x0 for shape in figure.layout.shapes] == [split] * drawn
    assert len(figure.layout.annotations) == drawn
    assert figure.layout.yaxis.domain == ((0, 0.9) if drawn else None)


def test_labels_can_not_become_markup():
    name = '<a href="https://example.com">x</a>'
    for figure in (charts.lines(DAYS, {name: range(4)}), charts.intervals([Estimate(name, 1)], across=True)):
        assert "<a" not in json.dumps(figure.to_plotly_json())


def test_every_colour_has_its_dark_counterpart():
    used = set()
    for figure in every_chart(split=date(2020, 1, 6)):
        used |= set(re.findall(r"#[0-9a-f]{6}", figure.to_json()))
    assert used
    assert used <= set(charts.DARK)


def test_text_and_lines_stand_out_on_light_and_on_dark():
    for colour in (charts.INK, charts.MUTED):
        assert contrast(colour, charts.PAPER) >= 4.5
        assert contrast(charts.DARK[colour], charts.DARK[charts.PAPER]) >= 4.5
    for colour in charts.CYCLE:
        assert contrast(colour, charts.PAPER) >= 3
        assert contrast(charts.DARK[colour], charts.DARK[charts.PAPER]) >= 3


def test_the_page_and_the_charts_use_the_same_colours():
    style = (files("kairos.report") / "templates" / "style.css").read_text(encoding="utf-8")
    light, dark = (
        dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", part)) for part in style.split("@media screen", 1)
    )
    names = {"ink": charts.INK, "muted": charts.MUTED, "rule": charts.RULE, "paper": charts.PAPER}
    names |= {"up": charts.BLUE, "down": charts.ORANGE}
    for name, colour in names.items():
        assert light[name] == colour
        assert dark[name] == charts.DARK[colour]
