"""Scores of a day: counted again with pandas, and what is refused."""

from __future__ import annotations

import datetime as dt
import json

import numpy as np
import pandas as pd
import pytest

from kairos.cli import main
from kairos.equity.live import scores
from kairos.errors import InputError
from kairos.settings import load

FEW = load(overrides=["equity.live.min_names=8"])
COLUMNS = [
    "ticker", "alpha", "rank", "alpha_z", "regime", "vol_blend", "adv_20", "beta", "sector", "price",
]  # fmt: skip


def on(market, table, date):
    rows = market.read(table)
    return rows[rows["date"] == date].set_index("ticker")


@pytest.mark.parametrize("lower", [False, True])
def test_the_cross_section_counted_again(three_years, lower, tmp_path):
    date = three_years.context().sessions[-77].item()
    scores(
        three_years.db, alpha="ret_21d", settings=FEW, date=date, lower_is_better=lower, out=tmp_path / "new"
    )
    found = pd.read_csv(tmp_path / "new" / "scores.csv")
    assert list(found.columns) == COLUMNS
    prices = on(three_years, "sep_base_academic", date)
    members = sorted(on(three_years, "universe", date).index)
    assert sorted(found["ticker"]) == members
    alpha = on(three_years, "feat_price_action", date)["ret_21d"].loc[members].astype(float)
    better = -alpha if lower else alpha
    z = ((better - better.mean()) / better.std(ddof=1)).clip(-3, 3)
    got = found.set_index("ticker")
    np.testing.assert_allclose(got["alpha"].loc[members], alpha, rtol=1e-12)
    np.testing.assert_allclose(got["alpha_z"].loc[members], z, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(got["rank"].loc[members], better.rank(ascending=False, method="first"))
    known = got["rank"].dropna()
    assert known.is_monotonic_increasing
    others = {
        "vol_blend": on(three_years, "feat_vol_sizing", date)["vol_blend"],
        "adv_20": on(three_years, "feat_adv", date)["adv_20"],
        "beta": on(three_years, "feat_beta", date)["beta_252d"],
        "price": prices["closeunadj"],
    }
    for name, values in others.items():
        np.testing.assert_allclose(got[name].loc[members], values.loc[members], rtol=1e-12, err_msg=name)
    sector = three_years.read("tickers").query("table == 'SEP'").set_index("ticker")["sector"]
    assert (got["sector"].loc[members] == sector.loc[members].fillna("Unknown")).all()
    regimes = three_years.read("regime_history_academic").set_index("date")["regime"]
    assert set(got["regime"]) == {regimes.loc[date]}


def test_the_last_session_is_the_default(three_years):
    last = three_years.context().sessions[-1].item()
    found = scores(three_years.db, alpha="ret_21d", settings=FEW)
    assert found.date == last
    assert [note for note in found.notes if f"the data end on {last}" in note]
    night = dt.datetime.combine(last, dt.time(23), dt.UTC)
    for options in ({"now": night}, {"date": last}):
        found = scores(three_years.db, alpha="ret_21d", settings=FEW, **options)
        assert not [note for note in found.notes if "the data end" in note]


def test_what_is_wrong_is_said_and_nothing_is_written(three_years, tmp_path):
    last = three_years.context().sessions[-1].item()
    cases = [
        ({}, load(), "members have a value of feat_price_action.ret_21d; a decision needs 100"),
        ({}, load(overrides=["equity.live.min_names=8", "equity.live.min_std=9.0"]), "standard deviation"),
        ({"date": last + dt.timedelta(days=3)}, FEW, rf"nearest earlier one is {last} \(the last one"),
        ({"date": dt.date(1999, 1, 1)}, FEW, "the data begin on"),
    ]
    for options, settings, message in cases:
        with pytest.raises(InputError, match=message):
            scores(three_years.db, alpha="ret_21d", settings=settings, out=tmp_path / "new", **options)
    with pytest.raises(InputError, match="looks ahead"):
        scores(three_years.db, alpha="ret_5d_f", settings=FEW, out=tmp_path / "new")
    assert not (tmp_path / "new").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file; name a folder"):
        scores(three_years.db, alpha="ret_21d", settings=FEW, out=tmp_path / "file")


def test_an_earlier_file_is_replaced_whole(three_years, tmp_path):
    (tmp_path / "scores.csv").write_text("old")
    scores(three_years.db, alpha="ret_21d", settings=FEW, out=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["scores.csv"]
    assert len(pd.read_csv(tmp_path / "scores.csv")) > 8


def test_the_command(three_years, tmp_path, capsys):
    words = ["equity", "scores", "--db", str(three_years.db), "--alpha", "ret_21d"]
    few = ["--set", "equity.live.min_names=8"]
    with pytest.raises(SystemExit) as ended:
        main([*words, *few, "--out", str(tmp_path / "live"), "--json"])
    assert not ended.value.code
    told = json.loads(capsys.readouterr().out)
    assert told["scored"] == sum(row["rank"] is not None for row in told["scores"])
    assert (tmp_path / "live" / "scores.csv").is_file()
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert "a decision needs 100" in capsys.readouterr().err
