"""The market's regime against its definition, its label rule by hand, and the mark of what looks ahead."""

import composites_oracle as oracle
import numpy as np
import pytest
from composites_oracle import Stored
from tables_market import MEMORY, copied

from kairos.equity import backtest, signals
from kairos.equity.columns import warnings_of
from kairos.equity.tables.regime_history_academic import REGIMES, RegimeParams, derive
from kairos.settings import load

WHOLE = "equity.tables.regime_history_academic.lookback=full_sample"
V33 = "feat_composite_v33_regime.alpha_composite_v33_regime"
LABELS = ("vol_regime", "trend_regime", "dispersion_regime", "regime")


@pytest.fixture(scope="module")
def stored(three_years):
    return Stored(three_years.read)


@pytest.fixture(scope="module")
def measures(stored):
    return oracle.regime_measures(stored)


@pytest.fixture(scope="module")
def whole(three_years, tmp_path_factory):
    """A second namespace with labels against the whole sample."""
    market = copied(three_years, tmp_path_factory.mktemp("whole"))
    tables = (
        "feat_composite_v3",
        "feat_composite_v8",
        "feat_adv",
        "feat_vol_sizing",
        "feat_beta",
        "feat_matrix",
    )
    market.build(*tables, overrides=[WHOLE], into="whole")
    return market


def told(series):
    """Labels as a list, None without one."""
    return [label if isinstance(label, str) else None for label in series]


def test_measures_are_taken_over_the_members_of_the_session_before(stored, measures):
    for name, expected in measures.items():
        found = stored.series(f"regime_history_academic.{name}").to_numpy(float)
        assert expected.notna().sum() > 600
        np.testing.assert_allclose(found, expected.to_numpy(), rtol=1e-10, atol=1e-14)


def test_labels_are_those_of_the_definition(stored, measures):
    """None in the first 252 sessions with a measure, and a label on every later one."""
    expected = oracle.regimes(measures)
    for name in LABELS:
        assert told(stored.series(f"regime_history_academic.{name}")) == expected[name]
    for measure, label in zip(measures, LABELS, strict=False):
        first = np.flatnonzero(measures[measure].notna())[252]
        assert [word is not None for word in expected[label]] == [
            t >= first for t in range(len(expected[label]))
        ]


def test_labels_against_the_whole_sample(whole, measures):
    rows = whole.read("regime_history_academic", "whole")
    expected = oracle.regimes(measures, whole=True)
    for name in LABELS:
        assert told(rows[name]) == expected[name]
    assert expected["regime"] != oracle.regimes(measures)["regime"]


def test_every_row_has_the_regime_of_its_date(three_years, stored):
    rows = three_years.read("feat_labels")
    by_date = dict(zip(stored.sessions, told(stored.regime), strict=True))
    assert told(rows["regime"]) == [by_date[day] for day in rows["date"]]


def labelled(vol=None, trend=None, dispersion=None, **options):
    """Columns that follow from series of measures; those that are not given rise evenly."""
    given = {"vol": vol, "trend": trend, "dispersion": dispersion}
    length = len(next(x for x in given.values() if x is not None))
    series = {
        name: np.array(np.arange(1.0, length + 1) if x is None else x, dtype=float)
        for name, x in given.items()
    }
    return {name: list(words) for name, words in derive(series, RegimeParams(**options)).items()}


def test_the_label_rule_by_hand():
    """The 0.33 and 0.66 quantiles of 1 2 3 4 are 1.99 and 2.98, those of 1 2 3 4 5 are 2.32 and 3.64."""
    for today, vol, trend in (
        (1.98, "low_vol", "bear"),
        (1.995, "normal_vol", "neutral"),
        (2.97, "normal_vol", "neutral"),
        (2.99, "high_vol", "bull"),
    ):
        found = labelled(vol=[1, 2, 3, 4, today], trend=[4, 3, 2, 1, today], min_obs=4)
        assert found["vol_regime"] == [None] * 4 + [vol]
        assert found["trend_regime"] == [None] * 4 + [trend]
        assert found["regime"][-1] == f"{vol}_{trend}"
    found = labelled(vol=[1, 2, 3, 4, 5, 2.3, 3.65], min_obs=4)
    assert found["vol_regime"][4:] == ["high_vol", "low_vol", "high_vol"]


def test_a_value_on_the_bound_is_normal():
    found = labelled(vol=[1, 2, 3, 2, 1, 3], low=0.0, high=1.0, min_obs=3)
    assert found["vol_regime"] == [None, None, None, "normal_vol", "normal_vol", "normal_vol"]
    assert labelled(vol=[5.0] * 6, min_obs=3)["vol_regime"][3:] == ["normal_vol"] * 3


def test_dispersion_is_high_above_its_median():
    """Medians of 1 2 3: 2; of 1 2 3 2: 2; of 1 2 3 2 2.5: 2."""
    found = labelled(dispersion=[1, 2, 3, 2, 2.5, 1.9], min_obs=3)
    assert found["dispersion_regime"] == [None] * 3 + ["low_dispersion", "high_dispersion", "low_dispersion"]


def test_a_missing_measure_is_no_observation_and_has_no_label():
    nan = np.nan
    found = labelled(vol=[nan, 1, nan, 2, 3, 9, nan, 0], trend=[1, 2, 3, 4, 5, 6, 7, 8], min_obs=3)
    assert found["vol_regime"] == [None] * 5 + ["high_vol", None, "low_vol"]
    assert found["trend_regime"] == [None] * 3 + ["bull"] * 5
    assert found["regime"] == [None] * 5 + ["high_vol_bull", None, "low_vol_bull"]


def test_nothing_later_decides_about_a_label():
    rng = np.random.default_rng(4)
    series = rng.normal(size=(3, 60))
    before = labelled(*series, min_obs=10)
    series[:, 40:] *= 100.0
    after = labelled(*series, min_obs=10)
    for name in before:
        assert before[name][:40] == after[name][:40]
    assert before != after


def test_the_nine_labels_are_split_at_the_last_underscore():
    expected = {(v, t) for v in ("low_vol", "normal_vol", "high_vol") for t in ("bear", "neutral", "bull")}
    assert {tuple(label.rsplit("_", 1)) for label in REGIMES} == expected
    assert len(REGIMES) == 9


# What looks ahead is marked


def ahead(words):
    return [line for line in words if "regime_history_academic" in line]


@pytest.mark.parametrize(
    "column", [V33, "feat_composite_v8.alpha_composite_v8", "feat_composite_v5.alpha_composite_v5_regime"]
)
def test_a_column_that_reads_the_regime_is_warned_of(three_years, column):
    (line,) = ahead(warnings_of(three_years.context(settings=load(overrides=[WHOLE])), column))
    assert line.startswith("Look-ahead")
    assert "whole sample" in line
    assert not warnings_of(three_years.context(), column)


def test_a_column_that_does_not_is_not(three_years):
    context = three_years.context(settings=load(overrides=[WHOLE]))
    for column in ("feat_composite_v3.alpha_composite_v3", "feat_composite_v32.alpha_composite_v32"):
        assert not warnings_of(context, column)


def test_a_signal_study_says_it(whole):
    for options, lines in (({"overrides": [WHOLE]}, 1), ({}, 0)):
        settings = load(overrides=[*MEMORY, *options.get("overrides", [])])
        study = signals(whole.db, [V33], settings=settings, namespace="whole" if lines else "main")
        assert len(ahead(study.facts["data_warnings"])) == lines


def test_a_backtest_says_it(whole):
    for overrides, namespace, lines in (([WHOLE], "whole", 1), ([], "main", 0)):
        settings = load(overrides=[*MEMORY, "equity.strategies.risk1.top_n=10", *overrides, *DATES])
        ((result, _),) = backtest(whole.db, ["risk1"], alpha=V33, settings=settings, namespace=namespace)
        assert len(ahead(result.facts["data_warnings"])) == lines


def test_a_table_that_looks_ahead_is_marked_whatever_the_settings_are(whole):
    study = signals(whole.db, [V33], settings=load(overrides=MEMORY), namespace="whole")
    assert len(ahead(study.facts["data_warnings"])) == 1


def test_a_strategy_that_holds_in_some_regimes_is_marked(whole):
    only = 'equity.strategies.risk1.regimes=["low_vol_bear", "normal_vol_bear"]'
    settings = load(overrides=[*MEMORY, "equity.strategies.risk1.top_n=10", WHOLE, only, *DATES])
    ((result, _),) = backtest(
        whole.db, ["risk1"], alpha="alpha_composite_v3", settings=settings, namespace="whole"
    )
    assert len(ahead(result.facts["data_warnings"])) == 1


DATES = ["equity.backtest.start=2017-01-03", "equity.backtest.end=2017-12-29"]
