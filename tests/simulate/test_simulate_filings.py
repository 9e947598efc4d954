"""What was known when: reports in force against a plain search, filing by filing."""

import numpy as np

from kairos.simulate.filings import after_weekend, carried, file_reports


def test_known_is_the_latest_period_filed_by_then(simulated):
    filings = file_reports(simulated)
    rng = np.random.default_rng(0)
    quoted = np.argwhere(simulated.listings.quoted)
    column, row = quoted[rng.choice(len(quoted), 400, replace=False)].T
    found = filings.known(simulated.dates, column, row)
    reports = list(zip(filings.column, filings.datekey, filings.reportperiod, strict=True))
    for i, t, known in zip(column, row, found, strict=True):
        by_then = [k for k, (c, day, _) in enumerate(reports) if c == i and day <= simulated.dates[t]]
        expected = max(by_then, key=lambda k: (reports[k][2], reports[k][1]), default=-1)
        assert known == expected
    assert (found == -1).any()
    assert filings.amendment[found[found >= 0]].any()


def test_late_reports_are_late(simulated):
    filings = file_reports(simulated)
    delay = (filings.datekey - filings.reportperiod).astype(int)
    usual = ~filings.late & ~filings.amendment
    assert delay[usual].max() <= 77
    assert delay[usual].min() >= 25
    assert np.median(delay[filings.late]) > 80


def test_weekends_move_to_monday_but_for_some():
    days = np.arange("2015-01-01", "2035-01-01", dtype="datetime64[D]")
    moved = after_weekend(days, 0.25, np.random.default_rng(1))
    weekend = ~np.is_busday(days)
    assert (moved[~weekend] == days[~weekend]).all()
    changed = moved != days
    assert (moved[changed] == np.busday_offset(days[changed], 0, roll="forward")).all()
    assert abs((~changed)[weekend].mean() - 0.25) < 0.03


def test_carried_repeats_the_last_value():
    panel = np.array([[np.nan, 1.0], [2.0, np.nan], [np.nan, np.nan], [3.0, 4.0]])
    expected = np.array([[np.nan, 1.0], [2.0, 1.0], [2.0, 1.0], [3.0, 4.0]])
    np.testing.assert_array_equal(carried(panel), expected)
