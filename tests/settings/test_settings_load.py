"""Layers, origins, messages and digests of the settings."""

import datetime as dt
import hashlib
import json
import tomllib
from pathlib import Path
from typing import Any, get_args, get_origin

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from kairos.errors import InputError
from kairos.settings import Settings, StrategyDefaults, load, resolve
from kairos.settings.load import defaults, defaults_text
from kairos.settings.tree import merged


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def models_of(annotation: Any) -> list[type[BaseModel]]:
    """Every section named in an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inside in get_args(annotation) for model in models_of(inside)]


def fields_of(model: type[BaseModel], prefix: str = "") -> list[tuple[str, Any]]:
    """Every (dotted key, field) of a section, depth first."""
    found: list[tuple[str, Any]] = []
    for name, field in model.model_fields.items():
        found.append((prefix + name, field))
        if get_origin(field.annotation) is not dict:
            for inside in models_of(field.annotation):
                found.extend(fields_of(inside, f"{prefix}{name}."))
    return found


def test_every_field_has_its_default_in_the_file_and_none_in_the_class() -> None:
    tree = defaults()
    for key, field in fields_of(Settings):
        assert field.is_required(), f"{key} has a default in its class"
        value: Any = tree
        for part in key.split("."):
            assert part in value, f"{key} is not in defaults.toml"
            value = value[part]


def test_every_default_has_a_comment() -> None:
    lines = defaults_text().splitlines()
    keys = [number for number, line in enumerate(lines) if line and line[0] not in "#["]
    assert len(keys) > 50
    assert [lines[number] for number in keys if not lines[number - 1].startswith("# ")] == []


def test_values_of_the_specification() -> None:
    settings = load()
    universe, costs = settings.equity.universe, settings.equity.backtest.costs
    assert (universe.mode, universe.min_adv, universe.min_price, universe.min_size) == (
        "point_in_time",
        500_000,
        2.0,
        300e6,
    )
    assert (universe.adv_window, universe.adv_min_obs) == (60, 40)
    assert (costs.half_spread, costs.impact, costs.participation) == (0.0005, 0.7, 0.05)
    assert (costs.borrow, costs.financing_rate, costs.cash_rate) == (0.005, 0.05, 0.0)
    assert settings.equity.backtest.volatility.window == 126
    assert settings.equity.delisting.actions["bankruptcyliquidation"] == -0.30
    assert settings.equity.strategy("baseline").top_n == 50
    risk1 = settings.equity.strategy("risk1")
    assert (risk1.top_n, risk1.rank_by, risk1.target_vol, risk1.score) == (75, "alpha_z", 0.20, "equal")


def test_file_goes_over_defaults_and_set_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[equity.backtest]\nlag = 2\ncapital = 5\nstart = 2015-01-01\n")
    resolved = resolve(file, ["equity.backtest.lag=0", "data.db=other/place.duckdb"])
    backtest = resolved.settings.equity.backtest
    assert (backtest.lag, backtest.capital, backtest.start) == (0, 5.0, dt.date(2015, 1, 1))
    assert resolved.settings.data.db == "other/place.duckdb"
    assert resolved.origins["equity.backtest.lag"] == "--set"
    assert resolved.origins["equity.backtest.capital"] == str(file)
    assert resolved.origins["equity.backtest.order_wait"] == "default"
    assert resolved.config == file


def test_file_of_the_current_folder_is_read(tmp_path: Path) -> None:
    assert resolve().config is None
    (tmp_path / "kairos.toml").write_text("run.workers = 7\n")
    assert load().run.workers == 7
    other = tmp_path / "other.toml"
    other.write_text("")
    assert load(other).run.workers == 2


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("lag=3", 3),
        ("costs.impact=0", 0.0),
        ("start=2016-02-29", dt.date(2016, 2, 29)),
        ("start='2016-02-29'", dt.date(2016, 2, 29)),
        ("start=", None),
        ("compat_manual=true", True),
        ("columns.adv=feat_adv.adv_60", "feat_adv.adv_60"),
        (' columns.adv = "feat_adv.adv_60" ', "feat_adv.adv_60"),
    ],
)
def test_override_values(text: str, value: object) -> None:
    found: Any = load(overrides=[f"equity.backtest.{text.strip()}"]).equity.backtest
    for part in text.split("=")[0].strip().split("."):
        found = getattr(found, part)
    assert found == value
    assert type(found) is type(value)


def test_last_override_wins_and_lists_are_replaced() -> None:
    settings = load(overrides=["run.workers=3", "run.workers=4", 'equity.universe.exchanges=["NYSE"]'])
    assert settings.run.workers == 4
    assert settings.equity.universe.exchanges == ("NYSE",)


def test_bare_override_belongs_to_the_strategies_being_run() -> None:
    settings = load(overrides=["top_n=9", "costs.impact=0.1"], strategies=["baseline", "risk1"])
    for name in ("baseline", "risk1"):
        strategy = settings.equity.strategy(name)
        assert (strategy.top_n, strategy.backtest.costs.impact) == (9, 0.1)
    assert settings.equity.backtest.costs.impact == 0.7
    with pytest.raises(InputError, match="unknown key top_n"):
        load(overrides=["top_n=9"])


def test_strategy_inherits_and_overrides_the_engine(tmp_path: Path) -> None:
    file = tmp_path / "kairos.toml"
    file.write_text(
        """
        [equity.backtest]
        order_wait = 3
        [equity.strategies.slow]
        base = "risk1"
        rebalance_every = 21
        costs = { half_spread = 0.001 }
        [equity.strategies.slower]
        base = "slow"
        rebalance_every = 63
        regimes = ["low_vol_bull"]
        """
    )
    slower = load(file).equity.strategy("slower")
    assert (slower.name, slower.top_n, slower.rank_by) == ("slower", 75, "alpha_z")
    assert slower.regimes == ("low_vol_bull",)
    assert (slower.backtest.rebalance_every, slower.backtest.order_wait) == (63, 3)
    assert (slower.backtest.costs.half_spread, slower.backtest.costs.impact) == (0.001, 0.7)
    assert load(file).equity.lineage("slower") == ("slower", "slow", "risk1")


BAD = [
    (
        "equity.universe.min_advv=1",
        "unknown key equity.universe.min_advv. Did you mean equity.universe.min_adv?",
    ),
    ("universe.min_adv=1", "unknown key universe.min_adv. Did you mean equity.universe.min_adv?"),
    ("equity.strategies.risk1.topn=3", "Did you mean equity.strategies.risk1.top_n?"),
    ("equity.strategies.risk1.name=x", "unknown key equity.strategies.risk1.name"),
    ("equity.strategies.risk1.backtest.lag=1", "unknown key equity.strategies.risk1.backtest.lag"),
    ("equity.universe.min_adv=lots", "equity.universe.min_adv = 'lots': expected a number"),
    ("equity.universe.min_adv=nan", "expected a finite number"),
    ("equity.universe.min_adv=-1", "expected greater than or equal to 0"),
    ("equity.universe.min_adv=true", "expected a number"),
    ("equity.universe.mode=optionb", "expected 'point_in_time', 'option_b' or 'file'"),
    ("equity.universe.mode=file", "needs the list in equity.universe.file"),
    ("equity.universe.exchanges=NYSE", "expected a list"),
    ("equity.universe.exchanges=[1]", "equity.universe.exchanges = 1: expected a text"),
    ("equity.universe.adv_min_obs=61", "adv_min_obs = 61 exceeds adv_window = 60"),
    ("equity.backtest.start=2015-02-30", "expected a date"),
    ("equity.backtest.lag=1.5", "expected a whole number"),
    ("equity.backtest.compat_manual=1", "expected true or false"),
    ("equity.backtest.columns.adv=adv", "expected table.column"),
    ("equity.strategies.risk1.costs=2", "equity.strategies.risk1.costs = 2: expected a table"),
    ("equity.strategies.risk1.volatility.window=9", "min_obs = 63 exceeds window = 9"),
    ("equity.strategies.risk1=2", "equity.strategies.risk1 = 2: expected a table"),
    ("equity.strategies=2", "expected a table"),
    ("equity=2", "equity = 2: expected a table"),
    ("run.memory_limit=lots", "expected a size, e.g. '8GB'"),
    ("equity.strategies.new.base=risk5", "there is no such strategy. Did you mean risk4?"),
    ("equity.strategies.risk1.base=risk1", "the bases form a circle (risk1 → risk1)"),
]


@pytest.mark.parametrize(("override", "message"), BAD)
def test_message_names_the_key_the_value_and_what_is_expected(override: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        load(overrides=[override])
    assert message in str(caught.value)
    assert str(caught.value).startswith("--set: ")
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(("override", "message"), BAD)
def test_the_same_in_a_file_names_the_file(tmp_path: Path, override: str, message: str) -> None:
    key, _, value = override.partition("=")
    try:
        tomllib.loads(f"{key} = {value}")
    except tomllib.TOMLDecodeError:
        value = f'"{value}"'
    file = tmp_path / "mine.toml"
    file.write_text(f"{key} = {value}\n", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load(file)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{file}: ")


def test_the_message_names_the_entry_that_has_the_mistake() -> None:
    with pytest.raises(InputError, match=r"equity\.strategies\.risk1\.lag = -1"):
        load(overrides=["equity.strategies.a.base=risk1", "equity.strategies.risk1.lag=-1"])
    with pytest.raises(InputError, match=r"equity\.strategies\.a\.lag = -1"):
        load(overrides=["equity.strategies.a.base=risk1", "equity.strategies.a.lag=-1"])


def test_all_problems_are_listed_up_to_ten() -> None:
    with pytest.raises(InputError) as caught:
        load(overrides=[f"nowhere.key_{number:02}=1" for number in range(13)])
    lines = str(caught.value).splitlines()
    assert len(lines) == 11
    assert lines[-1] == "… and 3 more."


@pytest.mark.parametrize("text", ["", "lag", "=3", "a b=3", "equity..lag=1", "1x=2"])
def test_override_without_a_key(text: str) -> None:
    with pytest.raises(InputError, match="expected key=value"):
        load(overrides=[text])


@pytest.mark.parametrize("value", ["[1, 2", "{a = 1", '"open', "'open"])
def test_override_with_a_broken_value(value: str) -> None:
    with pytest.raises(InputError, match="not valid TOML"):
        load(overrides=[f"equity.signals.horizons={value}"])


def test_broken_file_names_file_and_line(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[run]\nworkers = 2\nthreads = = 3\n")
    with pytest.raises(InputError, match=r"mine\.toml: not valid TOML: .*line 3"):
        load(file)
    file.write_bytes(b'data.db = "\xff"\n')
    with pytest.raises(InputError, match=r"mine\.toml: not UTF-8"):
        load(file)
    with pytest.raises(InputError, match=r"absent\.toml: the configuration can't be read"):
        load(tmp_path / "absent.toml")
    with pytest.raises(InputError, match="can't be read"):
        load(tmp_path)


def test_unknown_strategy_is_named_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"no strategy 'risk11'\. Did you mean risk1"):
        load().equity.strategy("risk11")
    with pytest.raises(InputError, match="There are: baseline, ls, ls_opt"):
        load().equity.strategy("momentum")


def test_tree_is_frozen() -> None:
    settings = load()
    with pytest.raises(ValueError, match="frozen"):
        settings.run.workers = 3  # type: ignore[misc]  # the assignment is what is tested


def test_digest_is_the_hash_of_canonical_json() -> None:
    settings = load()
    universe = settings.model_dump(mode="json")["equity"]["universe"]
    text = json.dumps(
        {"equity.universe": universe}, sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )
    assert settings.digest("equity.universe") == hashlib.sha256(text.encode()).hexdigest()[:16]


def test_digest_sees_its_sections_only() -> None:
    one, two = load(), load(overrides=["run.workers=5"])
    assert one.digest() != two.digest()
    assert one.digest("equity") == two.digest("equity")
    assert one.digest("run") != two.digest("run")
    assert load(overrides=["equity.universe.min_adv=500_000"]).digest() == one.digest()
    assert one.equity.strategy("risk1").digest("backtest") == one.equity.strategy("baseline").digest(
        "backtest"
    )


def test_digest_of_a_table_without_an_entry() -> None:
    section = "equity.tables.feat_beta"
    assert load().part(section) == {}
    changed = load(overrides=[f"{section}.window=10"])
    assert changed.part(section) == {"window": 10}
    assert changed.digest(section) != load().digest(section)
    with pytest.raises(InputError, match=r"Did you mean equity\.universe"):
        load().digest("equity.univers")


def test_ledger_text_restores_the_tree() -> None:
    settings = load(overrides=["equity.strategies.x.start=2016-01-01", "equity.backtest.end=2020-01-01"])
    restored = Settings.model_validate_json(settings.model_dump_json())
    assert restored.equity.strategy("x") == settings.equity.strategy("x")
    assert restored.digest() == settings.digest()


LEAF = st.integers() | st.text(max_size=3)
TREES = st.recursive(
    st.dictionaries(st.sampled_from("abc"), LEAF, max_size=3),
    lambda inside: st.dictionaries(st.sampled_from("abc"), LEAF | inside, max_size=3),
)


@hypothesis.settings(suppress_health_check=[hypothesis.HealthCheck.too_slow])  # of a busy machine
@given(TREES, TREES)
def test_merge_reads_from_above_then_from_below(under: dict[str, Any], over: dict[str, Any]) -> None:
    """Each path reads as a look-up that asks the upper tree first."""

    def look(path: list[str]) -> Any:
        high: Any = over
        low: Any = under
        for part in path:
            high = high.get(part) if isinstance(high, dict) else None
            low = low.get(part) if isinstance(low, dict) else None
            if high is not None and not isinstance(high, dict):
                low = None
        return high, low

    result = merged(under, over)
    stack: list[tuple[list[str], Any]] = [([], result)]
    while stack:
        path, value = stack.pop()
        high, low = look(path)
        if isinstance(value, dict):
            names = set(high if isinstance(high, dict) else {}) | set(low if isinstance(low, dict) else {})
            assert set(value) == names
            stack.extend(([*path, name], inside) for name, inside in value.items())
        else:
            assert value == (high if high is not None else low)


def test_strategy_entry_may_set_what_the_reference_says() -> None:
    assert set(StrategyDefaults.model_fields) == set(defaults()["equity"]["strategy_defaults"])
