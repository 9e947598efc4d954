import numpy as np
import pytest

from kairos.errors import InputError
from kairos.report import charts


def test_a_waterfall_starts_where_the_step_before_ended():
    figure = charts.waterfall(["first", "up", "down <b>"], [0.10, 0.15, 0.03], kind="percent")
    (bar,) = figure.data
    np.testing.assert_allclose(bar.y, [0.10, 0.05, -0.12, 0.03])
    np.testing.assert_allclose(bar.base, [0.0, 0.10, 0.15, 0.0])
    assert list(bar.text) == ["10.0%", "+5.0%", "−12.0%", "3.0%"]
    assert bar.x[2] == "down<br>&lt;b&gt;"  # only our own line break is markup
    colours = bar.marker.color
    assert colours[1] == charts.BLUE
    assert colours[2] == charts.ORANGE


def test_a_waterfall_needs_a_level_for_each_label():
    with pytest.raises(InputError, match="2 levels for 3 labels"):
        charts.waterfall(["a", "b", "c"], [1.0, 2.0])


def test_bands_lie_behind_the_lines_and_the_split_stays():
    days = np.arange("2020-01-01", "2020-01-11", dtype="datetime64[D]")
    figure = charts.lines(days, {"a": np.arange(10.0)}, split=days[5])
    bands = [
        charts.Band(days[1], days[3], charts.BLUE, 0.1),
        charts.Band(days[6], days[9], charts.INK, 0.5, 0, 0.1),
    ]
    shapes = charts.shaded(figure, bands).layout.shapes
    assert [shape.type for shape in shapes] == ["rect", "rect", "line"]
    assert (shapes[0].x0, shapes[0].x1, shapes[0].layer) == ("2020-01-02", "2020-01-04", "below")
    assert (shapes[1].y0, shapes[1].y1, shapes[1].fillcolor) == (0, 0.1, charts.INK)
