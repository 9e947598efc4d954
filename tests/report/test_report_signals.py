from dataclasses import replace

import pytest

from kairos.report import signal_page


def test_the_comparison_comes_first_then_each_signal(signal_sheet):
    assert [section.title for section in signal_page(signal_sheet).sections] == [
        "Headline",
        "momentum: information",
        "momentum: portfolios",
        "noise: information",
        "noise: portfolios",
        "What was assumed",
    ]


def test_the_return_window_is_stated(signal_sheet, parse):
    text = parse(signal_page(signal_sheet)).text
    assert "Signal of session t against the return from t + 1 to t + 6" in text


@pytest.mark.parametrize(
    "row",
    [
        "momentum 0.0312 4.32 0.30 54.3% 0.0212 to 0.0412 0.1034 <0.001 754 7.8%",
        "noise −0.0004 4.32 0.30 54.3% −0.0104 to 0.0096 0.1034 <0.001 754 7.8%",
        "Neutral to sector 0.0213 4.32 0.30 54.3% 0.0113 to 0.0313",
        "momentum <0.001 0.041 0.040",
        "noise <0.001 0.900 –",
        "momentum 1.00 −0.37",
        "10 0.0030 0.0010 to 0.0050 2.50 754",
        "2019 0.0411 0.0200 to 0.0600 3.50 250",
        "2020 −0.0122 – – –",
        "Energy 0.0255 0.0100 to 0.0400 3.10 754",
        "Q5 8.0% 0.0% to 20.0% 1.50 750",
        "Q5 − Q1 7.8% 1.1% to 14.4% 2.28 750",
        "Slope 12.3 bp 2.3 bp to 22.3 bp 2.41 754",
        "Monotonicity 0.95 – – –",
        "Steps that rise 75.0% – – –",
        "Q1 34.6% Q5 45.7%",
        "1 0.9876 5 0.8765",
        "Weights were chosen on this period.",
    ],
)
def test_every_number_is_shown(signal_sheet, parse, row):
    assert row in parse(signal_page(signal_sheet)).text


def test_columns_that_nobody_fills_are_left_out(signal_sheet):
    stability = signal_page(signal_sheet).sections[2].blocks[-1]
    assert [[column.label for column in table.columns] for table in stability.blocks] == [
        ["Sessions apart", "Estimate"],
        ["Quantile", "Estimate"],
    ]


def test_a_single_signal_has_tiles_and_nothing_to_compare(signal_sheet, parse):
    single = replace(signal_sheet, signals=signal_sheet.signals[:1], correlation=(), adjusted={})
    text = parse(signal_page(single)).text
    assert "Mean IC 0.0312 0.0212 to 0.0412" in text
    assert "Share > 0 54.3% of 754 dates" in text
    assert "Correlation between" not in text
    assert "adjusted" not in text


def test_many_signals_have_a_short_title(signal_sheet):
    assert signal_page(signal_sheet).title == "momentum, noise"
    many = replace(signal_sheet, signals=signal_sheet.signals * 2, correlation=(), adjusted={})
    assert signal_page(many).title == "4 signals"


def test_the_page_is_deterministic(signal_sheet):
    assert signal_page(signal_sheet).render() == signal_page(signal_sheet).render()
