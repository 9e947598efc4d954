"""Composites against their definitions: those that ship, those of a user, and what a change renews."""

import contextlib
import io
import json
import shutil
from dataclasses import replace

import composites_oracle as oracle
import duckdb
import numpy as np
import pytest
from composites_oracle import CL, EQ, QUALITY, SMOOTHED, V33, VALUE, Blend, Stored, z
from tables_market import MEMORY, built, copied

from kairos.cli import main
from kairos.equity import build, registry, status
from kairos.errors import InputError
from kairos.settings import load

MATRICES = {"feat_matrix", "feat_matrix_v2", "feat_matrix_all"}
READ_EQ = {
    "feat_composite_academic",
    "feat_composite_v3",
    "feat_composite_v31",
    "feat_alpha_smoothed_v31",
    "weights_composite_v32",
    "feat_composite_v32",
    "feat_composite_v32b",
    "feat_composite_v33_regime",
    "weights_composite_v4",
    "feat_composite_v4",
    "feat_composite_v7",
    "feat_composite_v8",
    *MATRICES,
}
"""What reads alpha_composite_eq, directly or not."""


@pytest.fixture(scope="module")
def stored(three_years):
    return Stored(three_years.read)


def same(found, expected):
    """Equal within the precision in which features are stored."""
    np.testing.assert_allclose(found.to_numpy(), expected.to_numpy(), rtol=6.1e-8, atol=1e-9)


# The composites that ship


def test_every_table_that_ships_has_its_definition():
    tables = {load().equity.composite(name).table for name in load().equity.composites}
    assert tables == set(oracle.SHIPPED)


QUICK = {"feat_composite_v5", "feat_composite_v8"}
"""Tables that every run of the tests computes by the oracle; the others are among the slow ones."""


@pytest.mark.parametrize(
    "table", [t if t in QUICK else pytest.param(t, marks=pytest.mark.slow) for t in oracle.SHIPPED]
)
def test_a_table_is_its_definition(three_years, stored, table):
    """Every component and every result, and no further column."""
    expected = oracle.SHIPPED[table](stored)
    assert set(three_years.read(table).columns) - {"ticker", "date"} == set(expected)
    for column, values in expected.items():
        assert values.notna().to_numpy().sum() > 10_000
        same(stored.panel(f"{table}.{column}"), values)


def test_the_market_has_the_cases_that_the_definitions_tell_apart(stored):
    """Gaps in the smoothed signal, dates without a regime, each a missing component, many regimes."""
    smoothed = stored.panel(SMOOTHED).notna()
    again = smoothed & ~smoothed.shift(1, fill_value=False) & smoothed.shift(1, fill_value=False).cummax()
    assert again.to_numpy().sum() > 20
    assert stored.regime.isna().sum() > 252
    assert stored.regime.nunique() >= 6
    for leg in (QUALITY, VALUE, CL, "feat_institutional_academic.inst_z", "feat_momentum_v2.mom_12_1"):
        assert (stored.panel(leg).isna() & stored.members).to_numpy().sum() > 20, leg


def test_non_members_have_nothing(three_years, stored):
    outside = ~stored.members
    for table in oracle.SHIPPED:
        for column in set(three_years.read(table).columns) - {"ticker", "date"}:
            assert not (stored.panel(f"{table}.{column}").notna() & outside).to_numpy().any()


def test_weights_that_ship_are_those_of_the_specification():
    composite = load().equity.composite
    assert dict(composite("alpha_composite_v33_regime").regimes) == V33
    for name in ("alpha_composite_v5", "alpha_composite_v6"):
        assert dict(composite(name).exposure) == oracle.EXPOSURE


@pytest.mark.slow
def test_weights_by_information_coefficients(stored):
    """The table of weights: coefficients by the date on which they are known, and weights that follow."""
    for name, legs, signed in (
        ("v32", {"alpha_composite_eq": EQ, "alpha_CL_v2": oracle.CL_V2, "alpha_smoothed": SMOOTHED}, False),
        ("v4", {"alpha_composite_eq": EQ, "alpha_CL": CL}, True),
    ):
        signals = [stored.panel(source) for source in legs.values()]
        weights = np.array(oracle.ic_weights(stored, signals, signed=signed))
        table = f"weights_composite_{name}"
        found = np.array([stored.series(f"{table}.{leg}_weight").to_numpy(float) for leg in legs])
        np.testing.assert_allclose(found, weights, rtol=1e-9, atol=1e-12)
        changes = np.flatnonzero((weights != 1.0).any(axis=0))
        assert 258 < changes[0] < len(stored.sessions) - 200
        assert np.sign(weights[:, changes]).min() == (-1.0 if signed else 0.0)
        for leg, signal in zip(legs, signals, strict=True):
            late = oracle.coefficients(stored, signal, 5).shift(6)
            known = stored.series(f"{table}.{leg}_ic")
            np.testing.assert_allclose(known.to_numpy(float), late.to_numpy(), rtol=1e-9, atol=1e-12)


# A user's own


OWN = """
[equity.composites.alpha_composite_v9]
components = { "feat_quality_v2.quality_composite_z" = 0.5, "feat_value_v2.value_composite_z" = 0.5 }

[equity.composites.alpha_over]
components = { "alpha_composite_v9" = 0.7, "alpha_CL" = 0.3 }

[equity.composites.alpha_turned]
components = { "feat_stat.vol_21d" = { sign = -1, name = "calm_z" }, "feat_momentum_v2.mom_12_1" = 2 }
legs = "z3"
standardise = "z3"
min_components = 1

[equity.composites.alpha_by_regime]
components = { "feat_momentum_v2.mom_6m" = 1, "feat_quality_v2.quality_composite_z" = 1 }
regimes = { low_vol_bear = [1, 0], normal_vol_bear = [0.2, 0.8], normal_vol_bull = [0.5, -0.2] }

[equity.composites.alpha_by_ic]
components = { "feat_momentum_v2.mom_1m" = 1, "feat_adv.adv_z" = { sign = -1 }, "feat_value.value_z" = 1 }
weights = "ic"
ic = { horizon = 3, lag = 2, min_dates = 40 }
min_components = 2

[equity.composites.alpha_smooth]
components = { "feat_price_action.ret_5d" = -1, "feat_value_v2.value_composite_z" = 3 }
smooth = 0.2
missing = "neutral"
min_components = 1

[equity.composites.alpha_stand_in]
components = { "feat_momentum_v2.mom_12_1" = 1.0, "feat_value.value_z" = 1.0 }
fallback = { "feat_value.value_z" = 0.75, "feat_price_action.ret_21d" = { weight = 0.25, sign = -1 } }
standardise = false

[equity.composites.alpha_raw]
table = "feat_pair"
legs = "raw"

[equity.composites.alpha_raw.components]
"feat_quality_v2.computed_roe" = 1.0
"feat_quality_v2.computed_roa" = { weight = 2, name = "roa_raw" }

[equity.composites.alpha_pair]
table = "feat_pair"
components = { "alpha_raw" = 0.5, "feat_value.value_z" = 0.5 }
exposure = { low_vol_bear = 0.25 }

[equity.composites.alpha_one]
table = "feat_nothing"
components = { "feat_value.value_z" = 1.0 }

[equity.composites.alpha_two]
table = "feat_nothing"
components = { "alpha_one" = 1.0 }

[equity.composites.alpha_nothing]
table = "feat_nothing"
components = { "feat_value.value_z" = 0.1, "alpha_one" = 0.2, "alpha_two" = { weight = 0.3, sign = -1 } }
"""
VOL, MOM_12_1 = "feat_stat.vol_21d", "feat_momentum_v2.mom_12_1"
MOM_6, MOM_1, ADV = "feat_momentum_v2.mom_6m", "feat_momentum_v2.mom_1m", "feat_adv.adv_z"
VALUE_Z, RET_5, RET_21 = "feat_value.value_z", "feat_price_action.ret_5d", "feat_price_action.ret_21d"
V9 = "feat_composite_v9.alpha_composite_v9"
DEFINED = {
    V9: (Blend({QUALITY: 0.5, VALUE: 0.5}), ("quality_composite_z", "value_composite_z")),
    "feat_over.alpha_over": (Blend({V9: 0.7, CL: 0.3}), ("alpha_composite_v9_z", "alpha_CL_z")),
    "feat_turned.alpha_turned": (
        Blend({VOL: 1.0, MOM_12_1: 2.0}, turned=(VOL,), leg="z3", standardise="z3", need=1),
        ("calm_z", "mom_12_1_z"),
    ),
    "feat_by_regime.alpha_by_regime": (
        Blend(
            {MOM_6: 1.0, QUALITY: 1.0},
            regimes={"low_vol_bear": (1, 0), "normal_vol_bear": (0.2, 0.8), "normal_vol_bull": (0.5, -0.2)},
        ),
        ("mom_6m_z", "quality_composite_z"),
    ),
    "feat_by_ic.alpha_by_ic": (
        Blend(
            {MOM_1: 1.0, ADV: 1.0, VALUE_Z: 1.0},
            turned=(ADV,),
            need=2,
            ic={"horizon": 3, "lag": 2, "min_dates": 40},
        ),
        ("mom_1m_z", "adv_z", "value_z"),
    ),
    "feat_smooth.alpha_smooth": (
        Blend({RET_5: -1.0, VALUE: 3.0}, smooth=0.2, missing="neutral", need=1),
        ("ret_5d_z", "value_composite_z"),
    ),
    "feat_stand_in.alpha_stand_in": (
        Blend(
            {MOM_12_1: 1.0, VALUE_Z: 1.0},
            standardise="none",
            fallback={VALUE_Z: 0.75, RET_21: 0.25},
            turned=(RET_21,),
        ),
        ("mom_12_1_z", "value_z", "ret_21d_z"),
    ),
}
"""Result to its definition, and the names of its components."""


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("own") / "kairos.toml"
    path.write_text(OWN, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def own(three_years, config, tmp_path_factory):
    """The market's store, built once more with the user's composites, and its state before that."""
    market = copied(three_years, tmp_path_factory.mktemp("own_market"))
    settings = load(config, overrides=MEMORY)
    before = {row.name: row for row in status(market.db, settings=settings)}
    report = build(market.db, settings=settings)
    return replace(market, settings=settings, report=report), before


@pytest.fixture(scope="module")
def own_stored(own):
    return Stored(own[0].read)


NEW = {name.partition(".")[0] for name in DEFINED} | {"feat_pair", "feat_nothing", "weights_by_ic"}


def test_only_what_is_new_is_made(own, three_years):
    market, before = own
    assert {name for name, row in before.items() if row.state == "not built"} == NEW
    assert {name for name, row in before.items() if row.state == "stale"} == MATRICES
    assert {row["table"] for row in market.report.built} == NEW | MATRICES
    assert not market.report.not_built
    was, now = three_years.snapshot().tables, market.snapshot().tables
    for key, table in was.items():
        if not table.sql and key[1] != "runs":
            assert now[key].fingerprint == table.fingerprint
    found = status(market.db, settings=market.settings)
    assert not [row for row in found if row.state in ("stale", "not built")]


@pytest.mark.parametrize(
    "result",
    [*list(DEFINED)[:2], *(pytest.param(result, marks=pytest.mark.slow) for result in list(DEFINED)[2:])],
)
def test_an_own_composite_is_its_definition(own, own_stored, result):
    blend, names = DEFINED[result]
    table, _, column = result.partition(".")
    alpha, legs = blend.values(own_stored)
    assert set(own[0].read(table).columns) - {"ticker", "date"} == {column, *names}
    assert alpha.notna().to_numpy().sum() > 5_000
    same(own_stored.panel(result), alpha)
    for name, source in zip(names, legs, strict=True):
        same(own_stored.panel(f"{table}.{name}"), legs[source])


def test_a_composite_of_its_own_table(own_stored):
    """The second takes the first as it was made; a component may have a name of the user's."""
    roe, roa = "feat_quality_v2.computed_roe", "feat_quality_v2.computed_roa"
    raw, _ = Blend({roe: 1.0, roa: 2.0}, leg="raw").values(own_stored)
    pair, legs = Blend({"raw": 0.5, VALUE_Z: 0.5}).values(own_stored, {"raw": raw})
    factor = own_stored.regime.map(lambda label: 0.25 if label == "low_vol_bear" else 1.0)
    expected = {
        "alpha_raw": raw,
        "roa_raw": own_stored.panel(roa).where(own_stored.members),
        "alpha_pair": pair,
        "alpha_raw_z": legs["raw"],
        "value_z": legs[VALUE_Z],
        "alpha_pair_regime": pair.mul(factor, axis=0),
        "alpha_pair_exposure": (pair * 0.0).add(factor, axis=0),
    }
    for column, values in expected.items():
        same(own_stored.panel(f"feat_pair.{column}"), values)


def test_rounding_is_not_blown_up(own_stored):
    """0.1·z + 0.2·z - 0.3·z is 1e-17 and not 0; its z must be 0 nevertheless."""
    found = own_stored.panel("feat_nothing.alpha_nothing")
    expected = z(own_stored.panel(VALUE_Z), own_stored.members) * 0.0
    np.testing.assert_array_equal(found.to_numpy(), expected.to_numpy())
    assert expected.notna().to_numpy().sum() > 20_000


def test_the_matrix_has_the_new_columns_and_keeps_the_old_names(own, own_stored, three_years):
    market, _ = own
    with duckdb.connect(str(market.db), read_only=True) as con:
        now = [row[0] for row in con.sql("DESCRIBE feat_matrix").fetchall()]
        rows = con.sql("SELECT ticker, date, alpha_composite_v9, alpha_over FROM feat_matrix").df()
    with duckdb.connect(str(three_years.db), read_only=True) as con:
        before = [row[0] for row in con.sql("DESCRIBE feat_matrix").fetchall()]
    assert {name.partition(".")[2] for name in DEFINED} | {"alpha_raw", "alpha_pair", "calm_z"} <= set(now)
    assert set(before) <= set(now)
    assert "feat_composite_v9__quality_composite_z" in now
    assert len(rows) == own_stored.members.to_numpy().sum()
    for name in ("alpha_composite_v9", "alpha_over"):
        blend, _ = DEFINED[V9 if name == "alpha_composite_v9" else "feat_over.alpha_over"]
        wanted, _ = blend.values(own_stored)
        values = [
            wanted.at[day.date(), own_stored.listing[ticker, day.date()]]
            for ticker, day in zip(rows["ticker"], rows["date"], strict=True)
        ]
        np.testing.assert_allclose(rows[name].to_numpy(float), values, rtol=6.1e-8, atol=1e-9)


# Entries that can't be


GOOD = 'components = { "feat_quality_v2.quality_composite_z" = 1.0, "feat_value.value_z" = 1.0 }'
WRONG = {
    "two that need each other": (
        """
        [equity.composites.alpha_a]
        components = { "alpha_b" = 1.0 }
        [equity.composites.alpha_b]
        components = { "alpha_a" = 1.0 }""",
        r"equity\.composites\.alpha_[ab]\.components.*alpha_(a → alpha_b → alpha_a|b → alpha_a → alpha_b)",
    ),
    "one of itself": (
        '[equity.composites.alpha_a]\ncomponents = { "alpha_a" = 1.0 }',
        r"equity\.composites\.alpha_a\.components.*itself",
    ),
    "one of itself, by its column": (
        '[equity.composites.alpha_a]\ncomponents = { "feat_a.alpha_a" = 1.0 }',
        r"equity\.composites\.alpha_a\.components.*itself",
    ),
    "of its own exposure": (
        """
        [equity.composites.alpha_a]
        components = { "feat_a.alpha_a_regime" = 1.0 }
        exposure = { low_vol_bull = 0.5 }""",
        r"equity\.composites\.alpha_a\.components.*feat_a\.alpha_a_regime",
    ),
    "unknown table": (
        '[equity.composites.alpha_a]\ncomponents = { "feat_qualty_v2.quality_composite_z" = 1.0 }',
        r"equity\.composites\.alpha_a\.components.*'feat_qualty_v2'.*feat_quality_v2\?",
    ),
    "a vendor's table": (
        '[equity.composites.alpha_a]\ncomponents = { "daily.pe" = 1.0 }',
        r"equity\.composites\.alpha_a\.components.*'daily'",
    ),
    "unknown column": (
        '[equity.composites.alpha_a]\ncomponents = { "feat_quality_v2.quality_composit_z" = 1.0 }',
        r"equity\.composites\.alpha_a\.components.*feat_quality_v2.*'quality_composit_z'.*quality_composite_z\?",
    ),
    "unknown composite": (
        '[equity.composites.alpha_a]\ncomponents = { "alpha_composite_v77" = 1.0 }',
        r"equity\.composites\.alpha_a\.components.*'alpha_composite_v77'.*alpha_composite_v7\?.*table\.column",
    ),
    "weights that cancel": (
        """
        [equity.composites.alpha_a]
        components = { "feat_quality_v2.quality_composite_z" = 0.5, "feat_value.value_z" = -0.5 }""",
        r"equity\.composites\.alpha_a\.components.*sum to zero",
    ),
    "weights of the fallback": (
        f'[equity.composites.alpha_a]\n{GOOD}\nfallback = {{ "feat_value.value_z" = 0 }}',
        r"equity\.composites\.alpha_a\.fallback.*sum to zero",
    ),
    "weights of one regime": (
        f"[equity.composites.alpha_a]\n{GOOD}\nregimes = {{ low_vol_bull = [1, 1], low_vol_bear = [1, -1] }}",
        r"equity\.composites\.alpha_a\.regimes\.low_vol_bear.*sum to zero",
    ),
    "number of weights": (
        f"[equity.composites.alpha_a]\n{GOOD}\nregimes = {{ low_vol_bull = [1, 1, 1] }}",
        r"equity\.composites\.alpha_a\.regimes\.low_vol_bull.*3 weights for 2",
    ),
    "too many must exist": (
        f"[equity.composites.alpha_a]\n{GOOD}\nmin_components = 3",
        r"equity\.composites\.alpha_a\.min_components = 3.*2 components",
    ),
    "two columns with one name": (
        """[equity.composites.alpha_a]
        components = { "feat_adv.adv_z" = { name = "q" }, "feat_value.value_z" = { name = "q" } }""",
        r"equity\.composites\.alpha_a.*feat_a.*'q'",
    ),
    "two composites that call it the same": (
        """
        [equity.composites.alpha_a]
        components = { "feat_value.value_z" = 1.0 }
        table = "feat_both"
        [equity.composites.alpha_b]
        components = { "feat_value_v2.value_composite_z" = { name = "value_z" } }
        table = "feat_both\"""",
        r"equity\.composites\.alpha_[ab].*feat_both.*'value_z'",
    ),
    "a component called as the result": (
        '[equity.composites.alpha_a]\ncomponents = { "feat_value.value_z" = { name = "alpha_a" } }',
        r"equity\.composites\.alpha_a.*'alpha_a'",
    ),
    "no components": (
        '[equity.composites.alpha_a]\nlegs = "z3"',
        r"equity\.composites\.alpha_a.*no components",
    ),
    "both kinds of weights": (
        f'[equity.composites.alpha_a]\n{GOOD}\nweights = "ic"\nregimes = {{ low_vol_bull = [1, 1] }}',
        r"equity\.composites\.alpha_a.*exclude",
    ),
    "a table that is taken": (
        f'[equity.composites.alpha_a]\n{GOOD}\ntable = "feat_stat"',
        r"equity\.composites\.alpha_a\.table = 'feat_stat'",
    ),
    "tables that need each other": (
        """
        [equity.composites.alpha_a]
        components = { "feat_value.value_z" = 1.0 }
        table = "feat_one"
        [equity.composites.alpha_b]
        components = { "alpha_a" = 1.0 }
        table = "feat_two"
        [equity.composites.alpha_c]
        components = { "alpha_b" = { name = "b_z" } }
        table = "feat_one\"""",
        r"equity\.composites.*feat_(one|two) → feat_",
    ),
    "unknown key": (
        f"[equity.composites.alpha_a]\n{GOOD}\nsmoth = 0.3",
        r"kairos\.toml.*equity\.composites\.alpha_a\.smoth.*smooth",
    ),
    "wrong type": (
        f'[equity.composites.alpha_a]\n{GOOD}\nsmooth = "much"',
        r"kairos\.toml.*equity\.composites\.alpha_a\.smooth = 'much'.*number",
    ),
    "wrong word": (
        f'[equity.composites.alpha_a]\n{GOOD}\nlegs = "rank"',
        r"kairos\.toml.*equity\.composites\.alpha_a\.legs = 'rank'.*'z3'",
    ),
    "no entry": ("[equity.composites]\nalpha_a = 3", r"kairos\.toml.*equity\.composites\.alpha_a = 3.*table"),
}
"""What is wrong, the entry, and what the message must say."""


def written(tmp_path, text):
    path = tmp_path / "kairos.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("what", WRONG)
def test_an_entry_that_can_not_be_is_refused(tmp_path, what):
    text, message = WRONG[what]
    with pytest.raises(InputError, match=message):
        registry.check(load(written(tmp_path, text)))


ODD = {
    "returns after the date": (
        '[equity.composites.alpha_a]\ncomponents = { "feat_targets.ret_5d_f" = 1.0 }',
        r"equity\.composites\.alpha_a\.components.*feat_targets\.ret_5d_f.*looks ahead",
    ),
    "words": (
        '[equity.composites.alpha_a]\ncomponents = { "feat_labels.sector" = 1.0 }',
        r"equity\.composites\.alpha_a\.components.*feat_labels\.sector",
    ),
    "a regime that is none": (
        f"[equity.composites.alpha_a]\n{GOOD}\nregimes = {{ low_vol_bul = [1, 1] }}",
        r"equity\.composites\.alpha_a\.regimes\.low_vol_bul.*low_vol_bull",
    ),
    "the exposure of one that is none": (
        f"[equity.composites.alpha_a]\n{GOOD}\nexposure = {{ low_vol_bul = 0.5 }}",
        r"equity\.composites\.alpha_a\.exposure\.low_vol_bul.*low_vol_bull",
    ),
    "the table of a matrix": (
        f'[equity.composites.alpha_a]\n{GOOD}\ntable = "feat_matrix"',
        r"equity\.composites\.alpha_a\.table = 'feat_matrix'",
    ),
    "a table of the vendor": (
        f'[equity.composites.alpha_a]\n{GOOD}\ntable = "sep_base"',
        r"equity\.composites\.alpha_a\.table = 'sep_base'",
    ),
    "the table of some weights": (
        f'[equity.composites.alpha_a]\n{GOOD}\ntable = "weights_composite_v32"',
        r"equity\.composites\.alpha_a\.table = 'weights_composite_v32'",
    ),
    "a table that no signal is looked for in": (
        f'[equity.composites.alpha_a]\n{GOOD}\ntable = "mine"',
        r"equity\.composites\.alpha_a\.table = 'mine'.*feat_",
    ),
    "the name of the key": (f"[equity.composites.date]\n{GOOD}", r"equity\.composites\.date.*key"),
    "a component called as the key": (
        '[equity.composites.alpha_a]\ncomponents = { "feat_value.value_z" = { name = "ticker" } }',
        r"equity\.composites\.alpha_a.*'ticker'",
    ),
    "names that SQL does not tell apart": (
        """[equity.composites.alpha_a]
        components = { "feat_value.value_z" = { name = "q" }, "feat_adv.adv_z" = { name = "Q" } }""",
        r"equity\.composites\.alpha_a.*'Q'",
    ),
    "an unknown column of the fallback": (
        f'[equity.composites.alpha_a]\n{GOOD}\nfallback = {{ "feat_value.value" = 1 }}',
        r"equity\.composites\.alpha_a\.fallback.*'value'",
    ),
    "the type of a weight": (
        '[equity.composites.alpha_a]\ncomponents = { "feat_value.value_z" = "much" }',
        r"kairos\.toml.*equity\.composites\.alpha_a\.components.*feat_value\.value_z.* = 'much'.*number",
    ),
    "the key of a component": (
        '[equity.composites.alpha_a]\ncomponents = { "feat_value.value_z" = { weigth = 1.0 } }',
        r"kairos\.toml.*equity\.composites\.alpha_a\.components.*weigth.*did you mean .*alpha_a.*weight",
    ),
}


@pytest.mark.parametrize("what", ODD)
def test_an_entry_that_must_not_be(tmp_path, what):
    text, message = ODD[what]
    with pytest.raises(InputError, match=f"(?i){message}"):
        registry.check(load(written(tmp_path, text)))


def command(*arguments):
    """Exit code and what is said of a command."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0), out.getvalue(), err.getvalue()


@pytest.mark.parametrize("what", ["two that need each other", "unknown column", "wrong type"])
def test_the_commands_leave_with_2(three_years, tmp_path, monkeypatch, what):
    """Checking, building and asking for the state say the same, and nothing is published."""
    monkeypatch.chdir(tmp_path)
    text, _ = WRONG[what]
    path, before = written(tmp_path, text), three_years.snapshot().id
    for arguments in (
        ("config", "check", "--config", path),
        ("equity", "build", "--db", three_years.db, "--config", path),
        ("equity", "status", "--db", three_years.db, "--config", path),
    ):
        code, _, said = command(*arguments)
        assert code == 2, arguments
        assert "equity.composites.alpha_" in said
        assert "Traceback" not in said
    assert three_years.snapshot().id == before


@pytest.mark.slow
def test_without_holdings(three_years, tmp_path):
    """A composite goes on without a component that can't be, unless it needs it; both are said."""
    folder = shutil.copytree(three_years.folder, tmp_path / "vendor")
    (folder / "SHARADAR_SF3.csv").unlink()
    needs_all, needs_one = (
        f'equity.composites.alpha_{name}={{ components = {{ "feat_institutional_academic.inst_z" = 1.0, '
        f'"feat_value.value_z" = 1.0 }}, min_components = {least} }}'
        for name, least in (("all", 2), ("one", 1))
    )
    made = built(
        folder, ("feat_composite_academic", "feat_one", "feat_composite_long"), [needs_all, needs_one]
    )
    assert any(
        line.startswith("feat_composite_academic is made without feat_institutional_academic")
        for line in made.report.warnings
    )
    assert "sf3" in made.report.not_built["holdings"]
    assert "feat_institutional_academic" in made.report.not_built
    rows = made.read("feat_composite_academic")
    assert rows["inst_z"].isna().all()
    found = Stored(made.read)
    eq = found.panel(EQ)
    v2 = found.panel("feat_composite_academic.alpha_composite_v2")
    np.testing.assert_array_equal(eq.to_numpy(), v2.to_numpy())
    alone, _ = Blend({VALUE_Z: 1.0}).values(found)
    same(found.panel("feat_one.alpha_one"), alone)
    with pytest.raises(InputError, match="feat_all can't be built: feat_institutional_academic missing"):
        build(made.db, ["feat_all"], settings=made.settings)
    states = {row.name: row for row in status(made.db, settings=made.settings)}
    assert (states["feat_all"].state, states["feat_all"].why) == (
        "not built",
        ("feat_institutional_academic missing",),
    )


# What a change renews


def stale(market, *overrides):
    settings = load(overrides=[*MEMORY, *overrides])
    return {row.name: row.why for row in status(market.db, settings=settings) if row.state == "stale"}


def weight(name, source, value):
    return f'equity.composites.{name}.components={{ "{source}" = {value} }}'


def test_a_changed_weight_of_v8(three_years, tmp_path, monkeypatch):
    market, change = copied(three_years, tmp_path), weight("alpha_composite_v8", VALUE, 0.6)
    expected = {
        "feat_composite_v8": ("settings changed",),
        **dict.fromkeys(MATRICES, ("feat_composite_v8 is stale",)),
    }
    assert stale(market, change) == expected
    monkeypatch.chdir(tmp_path)
    code, out, _ = command("equity", "status", "--db", market.db, "--set", change, "--json")
    assert code == 0
    assert {row["name"] for row in _rows(json.loads(out)) if row["state"] == "stale"} == set(expected)
    report = market.build(overrides=[change])
    assert {row["table"] for row in report.built} == set(expected)
    assert stale(market, change) == {}
    found = Stored(market.read)
    blend = Blend({oracle.V33_REGIME: 0.35, QUALITY: 0.35, VALUE: 0.6}, fallback={QUALITY: 0.54, VALUE: 0.46})
    same(found.panel("feat_composite_v8.alpha_composite_v8"), blend.values(found)[0])


def _rows(printed):
    return printed["tables"] if isinstance(printed, dict) else printed


@pytest.mark.slow
def test_a_changed_weight_in_a_table_of_two(three_years, tmp_path):
    """v2 stands beside eq: its table is made again, and what reads eq alone is left alone."""
    market = copied(three_years, tmp_path)
    change = weight(
        "alpha_composite_v2", "feat_institutional_academic.inst_z", '{ name = "inst_z", weight = 3.0 }'
    )
    expected = {"feat_composite_academic", *MATRICES}
    assert set(stale(market, change)) == expected
    before = fingerprints(market)
    report = market.build(overrides=[change])
    assert {row["table"] for row in report.built} == expected
    assert stale(market, change) == {}
    after = fingerprints(market)
    assert {name for name in before if before[name] != after[name]} == {"feat_composite_academic"}
    was, found = Stored(three_years.read), Stored(market.read)
    same(found.panel(EQ), was.panel(EQ))
    blend = Blend(
        {
            "feat_trend.price_vs_sma_21": 1.0,
            "feat_stat.close_zscore_21d": 1.0,
            "feat_volume_volatility.vol_zscore_21d": 1.0,
            "feat_institutional_academic.inst_z": 3.0,
        },
        turned=("feat_stat.close_zscore_21d",),
        need=1,
    )
    same(found.panel("feat_composite_academic.alpha_composite_v2"), blend.values(found)[0])


@pytest.mark.slow
def test_a_changed_weight_that_many_read(three_years, tmp_path):
    market = copied(three_years, tmp_path)
    change = weight("alpha_composite_eq", "feat_trend.price_vs_sma_21", '{ name = "trend_z", weight = 2.0 }')
    assert set(stale(market, change)) == READ_EQ
    before = fingerprints(market)
    report = market.build(overrides=[change])
    assert {row["table"] for row in report.built} == READ_EQ
    assert stale(market, change) == {}
    after = fingerprints(market)
    assert {name for name in before if before[name] != after[name]} == READ_EQ - MATRICES
    found = Stored(market.read)
    same(
        found.panel("feat_composite_v8.alpha_composite_v8"),
        oracle.SHIPPED["feat_composite_v8"](found)["alpha_composite_v8"],
    )
    same(found.panel(SMOOTHED), oracle.SHIPPED["feat_alpha_smoothed_v31"](found)["alpha_smoothed"])
    same(
        found.panel("feat_composite_v32.alpha_composite_v32"),
        oracle.SHIPPED["feat_composite_v32"](found)["alpha_composite_v32"],
    )


@pytest.mark.slow
def test_a_removed_entry(own, three_years, tmp_path):
    """Without the user's file the tables stay as results, and only the matrices are stale."""
    market = copied(own[0], tmp_path)
    assert set(stale(market)) <= MATRICES
    report = market.build()
    assert {row["table"] for row in report.built} <= MATRICES
    assert stale(market) == {}
    with duckdb.connect(str(market.db), read_only=True) as con:
        now = [row[0] for row in con.sql("DESCRIBE feat_matrix").fetchall()]
    with duckdb.connect(str(three_years.db), read_only=True) as con:
        before = [row[0] for row in con.sql("DESCRIBE feat_matrix").fetchall()]
    assert now == before


def fingerprints(market):
    return {
        name: t.fingerprint
        for (_, name), t in market.snapshot().tables.items()
        if not t.sql and name != "runs"
    }
