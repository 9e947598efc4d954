import doctest
import math
from datetime import date, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kairos.report import format as formats
from kairos.report.format import MISSING, is_number, show


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (0.1234, "percent", "12.3%"),
        (-0.0005, "percent", "−0.1%"),
        (-0.0004, "percent", "0.0%"),
        (-0.0, "ratio", "0.00"),
        (2.345, "ratio", "2.35"),
        (0.03124, "coefficient", "0.0312"),
        (0.0499, "p_value", "0.050"),
        (0.0009, "p_value", "<0.001"),
        (0.0, "p_value", "<0.001"),
        (1.0, "p_value", "1.000"),
        (0.00075, "basis_points", "7.5 bp"),
        (3_100_000, "count", "3,100,000"),
        (1e7, "money", "10,000,000"),
        (np.float32(0.5), "percent", "50.0%"),
        (np.int64(75), "count", "75"),
        (math.inf, "ratio", "∞"),
        (-math.inf, "percent", "−∞"),
        ("2019", "percent", "2019"),
        (date(2020, 2, 29), "number", "2020-02-29"),
        (datetime(2020, 2, 29, 16, 0), "text", "2020-02-29 16:00:00"),
        (np.datetime64("2020-02-29"), "ratio", "2020-02-29"),
    ],
)
def test_a_value_is_written_as_its_kind_says(value, kind, text):
    assert show(value, kind) == text


@pytest.mark.parametrize("value", [None, math.nan, np.float32("nan"), np.datetime64("NaT"), ""])
def test_missing_is_an_en_dash(value):
    assert show(value, "percent") == MISSING == "\N{EN DASH}"


def test_digits_override_the_kind():
    assert show(0.01134, "percent", 2) == "1.13%"
    assert show(0.00004, "p_value", 4) == "<0.0001"


@given(st.floats(-1e6, 1e6), st.integers(0, 6))
def test_the_text_reads_back_as_the_rounded_number(value, digits):
    text = show(value, "number", digits)
    read = float(text.replace(",", "").replace("\N{MINUS SIGN}", "-"))
    assert abs(read - value) <= 0.5 * 10**-digits * (1 + 1e-9) + 1e-9
    assert not text.startswith("\N{MINUS SIGN}0") or read < 0


def test_only_finite_numbers_can_be_drawn():
    drawable = [
        value
        for value in (1, 0.0, np.float64(2), math.nan, math.inf, None, "1", date.today())
        if is_number(value)
    ]
    assert drawable == [1, 0.0, 2.0]


def test_examples_run():
    assert doctest.testmod(formats).failed == 0
