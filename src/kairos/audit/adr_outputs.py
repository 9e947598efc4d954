"""What the ADR desk writes, as tables of values by moment and name, each with when it may be known.

A panel is what one ADR, exchange or future has in one table. How far back a value looks, and from when on it
may be known, is declared here, once for each column; the audit holds the desk to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from kairos.adr.align import made_here, read_us_closes
from kairos.adr.baseline import is_given
from kairos.adr.convert import converted_here
from kairos.adr.desk import ADR_MIDS, BASELINE, BETAS, FEATURES, TARGETS, US_BETAS
from kairos.adr.evaluate import BY_ADR, GATE, MONTHLY, NULLS, SELECTIONS
from kairos.adr.evaluate_signal import BY_ADR as SIGNAL_BY_ADR
from kairos.adr.evaluate_signal import EXCLUDED, HALF_HOURS, ICS, OBSERVATIONS, evaluation_folder
from kairos.adr.files import read_betas, read_prices
from kairos.adr.gate import MODES, read_gates
from kairos.adr.instruments import read_instruments
from kairos.adr.minutefile import files_of, read_minutes
from kairos.adr.minutes import MINUTE, NEW_YORK
from kairos.adr.modelfile import ModelFile, read_model
from kairos.adr.modelterm import model_files
from kairos.adr.returns import change
from kairos.adr.selection import REMEMBERING
from kairos.adr.signal import calibration_file, days_file, signal_folder, terms_folder
from kairos.adr.train import METADATA, PREDICTIONS, SELECTION_PREDICTIONS, evaluation_output, output

if TYPE_CHECKING:
    from pathlib import Path

    from kairos.adr.desk import Desk
    from kairos.adr.instruments import Instrument


class Known(Enum):
    """From when on a value may be known."""

    DAY = auto()
    """At the ordinary's close of its day."""
    BEFORE = auto()
    """Before its day: after the session before it."""
    MONTH = auto()
    """Before its month."""
    MONTH_BEGUN = auto()
    """When its month has begun: the last minute of the month before counts."""
    MONTH_OVER = auto()
    """When its month is over."""
    MINUTE = auto()
    """At its minute."""
    DAY_OVER = auto()
    """When New York has closed on its day."""
    NEXT_OPEN = auto()
    """When the ordinary's exchange has opened again."""


class Needs(Enum):
    """What history a value looks back on."""

    PRICES = auto()
    """Prices of the days around it."""
    BETA = auto()
    """The window of the ordinary's beta."""
    US = auto()
    """The windows of the grid and of the US betas."""
    FEATURES = auto()
    """Both."""
    MODEL = auto()
    """The months of a model, and what its features look back on."""
    EVER = auto()
    """All months before it."""


Rule = tuple[Known, Needs]


@dataclass(frozen=True, eq=False)
class Column:
    """Values of one column.

    Attributes
    ----------
    names
        Of whom, N.
    values : (T, N)
        Numbers, NaN = missing, or texts, None = missing.
    rule
        From when on it may be known, and what history it needs.
    absent
        What a name stands for that the panel doesn't have.
    """

    names: Sequence[str]
    values: np.ndarray[Any, np.dtype[Any]]
    rule: Rule
    absent: float = np.nan


@dataclass(frozen=True, eq=False)
class Panel:
    """What one ADR, exchange or future has in one table.

    Attributes
    ----------
    exchange
        Market code of the ordinary; empty where none matters.
    moments : (T,) datetime64
        Months, days, or minutes in UTC; strictly increasing.
    columns
        By name.
    both
        Rows that only one side has are not compared: that there is one is known later than what it says.
    """

    exchange: str
    moments: np.ndarray[Any, np.dtype[np.datetime64]]
    columns: Mapping[str, Column]
    both: bool = False


Catalog = dict[tuple[str, str], Callable[[], Panel]]
"""Readers of panels by table and key."""

FROM_GATE = ("signal", "inferred", "model_return", "coverage")
"""Columns of a signal that depend on the gate."""

OUTCOME_OF_DAY = ("state", "hedge")
SUMMARY = "a summary of all test months"


def catalog(desk: Desk, steps: Sequence[str]) -> Catalog:
    """Tables that the desk has made in some of its steps; what the user brought is left out."""
    found: Catalog = {}
    for step in steps:
        found.update(_TABLES.get(step, lambda _: ())(desk))
    return found


def in_sample(desk: Desk, steps: Sequence[str]) -> dict[tuple[str, str], str]:
    """Columns that know the future by declaration, and what they know."""
    found: dict[tuple[str, str], str] = {}
    if "evaluate" in steps:
        found |= {(_stem(name), "*"): SUMMARY for name in (BY_ADR, NULLS, SELECTIONS, GATE)}
    chosen = "the full-sample gate: which ADRs use the model is chosen with all test months"
    if "signal" in steps:
        found |= {(_table(signal_folder(desk, "full_sample")), name): chosen for name in FROM_GATE}
        found |= {(_stem(days_file(desk, "full_sample")), name): chosen for name in ("source", "reason")}
    if "evaluate-signal" in steps:
        observations = f"{_table(evaluation_folder(desk))}/{_stem(OBSERVATIONS)}"
        names = ("full_sample", "full_sample_close", "full_sample_open")
        found |= {(observations, name): chosen for name in names}
        for name in (ICS, SIGNAL_BY_ADR, HALF_HOURS, EXCLUDED):
            found[f"{_table(evaluation_folder(desk))}/{_stem(name)}", "*"] = "a summary of all days"
    return found


def _stem(name: str) -> str:
    return name.rpartition("/")[2].partition(".")[0]


def _table(folder: str) -> str:
    return folder.rpartition("/")[2]


Entries = Iterator[tuple[tuple[str, str], Callable[[], Panel]]]


def _converted(desk: Desk) -> Entries:
    for name in converted_here(desk):
        if name == ADR_MIDS:
            if desk.path(name).is_file():
                yield ("adr_mids", ""), partial(_mids, desk)
        else:
            symbol = name.rpartition("=")[2]
            for path in sorted(desk.path(name).glob("*.parquet")):
                yield ("futures_in_usd", symbol), partial(_future, desk, symbol, path)


def _mids(desk: Desk) -> Panel:
    prices = read_prices(desk.path(ADR_MIDS), what="mids of the ADRs")
    rule = (Known.DAY, Needs.PRICES)
    return Panel("", prices.dates, {"mid": Column(prices.names, prices.values, rule)})


def _future(desk: Desk, symbol: str, path: Path) -> Panel:
    table = pq.read_table(path)
    known = table["timestamp"].to_numpy().astype("datetime64[ns]")
    if desk.settings.adr.bar_label.futures == "start":
        known = known + MINUTE
    names = [name for name in table.column_names if name != "timestamp"]
    rule = (Known.MINUTE, Needs.PRICES)
    return Panel("", known, {name: Column([symbol], _numbers(table[name]), rule) for name in names})


def _numbers(column: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    values: np.ndarray[Any, np.dtype[np.float64]] = column.to_numpy().astype(np.float64)[:, None]
    return values


def _aligned(desk: Desk) -> Entries:
    for exchange in made_here(desk):
        yield ("us_closes", exchange), partial(_us_closes, desk, exchange)


def _us_closes(desk: Desk, exchange: str) -> Panel:
    """Returns from row to row: a later split multiplies all prices before it by one number."""
    prices = read_us_closes(desk, exchange)
    rows = np.arange(1, len(prices.dates))
    column = Column(prices.names, change(prices.values, rows - 1, rows), (Known.DAY, Needs.PRICES))
    return Panel(exchange, prices.dates[1:], {"return": column})


def _betas(desk: Desk) -> Entries:
    if not desk.is_users(BETAS):
        for exchange in read_instruments(desk).exchanges:
            yield ("ordinary_betas", exchange), partial(_betas_of, desk, exchange)


def _betas_of(desk: Desk, exchange: str) -> Panel:
    adrs = [one.adr for one in read_instruments(desk).instruments if one.exchange == exchange]
    betas = read_betas(desk.path(BETAS), adrs, what="betas of the ordinaries")
    return Panel(exchange, betas.dates, {"beta": Column(adrs, betas.values, (Known.BEFORE, Needs.BETA))})


def _features(desk: Desk) -> Entries:
    for path in sorted(desk.path(US_BETAS).glob("*.parquet")):
        yield ("us_betas", path.stem), partial(_us_betas, path)
    exchanges = {one.adr: one.exchange for one in read_instruments(desk).instruments}
    for path in sorted(desk.path(FEATURES).glob("*.parquet")):
        yield ("features", path.stem), partial(_features_of, path, exchanges[path.stem])
    rule = (Known.DAY, Needs.FEATURES)
    yield from _by_ticker("targets", desk, pd.read_parquet(desk.path(TARGETS)), "date", lambda _: rule)


def _us_betas(path: Path) -> Panel:
    frame = pd.read_parquet(path)
    names = [f"{path.stem} {name}" for name in frame.columns]
    values = frame.to_numpy(dtype=np.float64)
    days = frame.index.to_numpy().astype("datetime64[D]")
    exchange = path.stem.partition("_")[0]
    return Panel(exchange, days, {"beta": Column(names, values, (Known.BEFORE, Needs.US))})


def _features_of(path: Path, exchange: str) -> Panel:
    frame, adr = pd.read_parquet(path), path.stem
    days, rule = frame.index.to_numpy().astype("datetime64[D]"), (Known.DAY, Needs.FEATURES)
    target = frame.pop("ordinary_residual").to_numpy(dtype=np.float64)[:, None]
    names = [f"{adr} {name}" for name in frame.columns]
    columns = {
        "ordinary_residual": Column([adr], target, rule),
        "us_residual": Column(names, frame.to_numpy(dtype=np.float64), rule, absent=0.0),
    }
    return Panel(exchange, days, columns)


def _trained(desk: Desk) -> Entries:
    exchanges = {one.adr: one.exchange for one in read_instruments(desk).instruments}
    for adr, exchange in exchanges.items():
        if files := model_files(desk, adr):
            yield ("models", adr), partial(_models, adr, exchange, files, _of_model(desk))
    metadata = pd.read_csv(desk.path(f"{output(desk)}/{METADATA}"), keep_default_na=False, na_values=[""])
    model = _of_model(desk)
    tested = (Known.MONTH_OVER, model[1])

    def rule(name: str) -> Rule:
        return tested if name.startswith("test_") or name in ("n_test", "live") else model

    yield from _by_ticker("training_metadata", desk, metadata, "month", rule)
    predictions = pd.read_parquet(desk.path(f"{output(desk)}/{PREDICTIONS}")).drop(columns="month")
    yield from _by_ticker("predictions", desk, predictions, "date", lambda _: tested)


def _of_model(desk: Desk) -> Rule:
    remembers = desk.settings.adr.model.selection in REMEMBERING
    return Known.MONTH, Needs.EVER if remembers else Needs.MODEL


def _models(adr: str, exchange: str, files: Sequence[Path], rule: Rule) -> Panel:
    models = [read_model(path) for path in files]
    months = np.array([model.month for model in models], dtype="datetime64[M]")
    columns = {
        name: Column([adr], np.array([[getattr(model, name)] for model in models], dtype=np.float64), rule)
        for name in ("alpha", "n_features", "n_train", "n_validation")
    }
    columns |= {
        name: Column([adr], np.array([[str(getattr(model, name))] for model in models], dtype=object), rule)
        for name in ("train", "validation", "selection")
    }
    for name in ("coef", "scale", "mean"):
        columns[name] = _by_feature(adr, models, name, rule)
    weights = pd.DataFrame([dict(zip(map(str, m.alphas), m.weights, strict=True)) for m in models])
    names = [f"{adr} alpha {alpha}" for alpha in weights.columns]
    columns["weights"] = Column(names, weights.to_numpy(dtype=np.float64), rule)
    metrics = pd.DataFrame([dict(model.validation_metrics) for model in models])
    for name in metrics.columns:
        columns[f"validation_{name}"] = Column([adr], metrics[[name]].to_numpy(dtype=np.float64), rule)
    return Panel(exchange, months, columns)


def _by_feature(adr: str, models: Sequence[ModelFile], name: str, rule: Rule) -> Column:
    """Numbers of the features; a model that is not linear has no coefficients."""
    rows = [
        {} if getattr(model, name) is None else dict(zip(model.features, getattr(model, name), strict=True))
        for model in models
    ]
    table = pd.DataFrame(rows)
    return Column([f"{adr} {feature}" for feature in table.columns], table.to_numpy(dtype=np.float64), rule)


def _evaluated(desk: Desk) -> Entries:
    into, needs = evaluation_output(desk), _of_model(desk)[1]
    monthly = pd.read_csv(desk.path(f"{into}/{MONTHLY}"), keep_default_na=False, na_values=[""])
    over = (Known.MONTH_OVER, needs)
    yield from _by_ticker(_stem(MONTHLY), desk, monthly, "month", lambda _: over)
    rules = pd.read_parquet(desk.path(f"{into}/{SELECTION_PREDICTIONS}"))
    wide = rules.pivot(index=["ticker", "date"], columns="rule", values="prediction").reset_index()

    def rule(name: str) -> Rule:
        return Known.MONTH_OVER, Needs.EVER if name in REMEMBERING else Needs.MODEL

    yield from _by_ticker(_stem(SELECTION_PREDICTIONS), desk, wide, "date", rule)
    gate = read_gates(desk)["expanding"]
    months = np.unique(np.append(np.unique(monthly["month"]).astype("datetime64[M]"), gate.last))
    for adr in sorted(set(monthly["ticker"])):
        values = gate.is_open(adr, months).astype(np.float64)[:, None]
        column = Column([adr], values, (Known.MONTH, Needs.EVER))
        panel = Panel(_exchange(desk, adr), months, {"open": column})
        yield ("gate_expanding", adr), partial(_as_it_is, panel)


def _as_it_is(panel: Panel) -> Panel:
    return panel


def _exchange(desk: Desk, adr: str) -> str:
    return read_instruments(desk).by_adr[adr].exchange


def _baseline(desk: Desk) -> Entries:
    rule = (Known.MINUTE, Needs.BETA)
    for adr, name in files_of(desk, BASELINE).items():
        if not is_given(desk, adr):
            yield (_table(BASELINE), adr), partial(_minutes, desk, adr, name, lambda _: rule)


def _minutes(desk: Desk, adr: str, name: str, rule: Callable[[str], Rule]) -> Panel:
    """A signal file; a minute without a signal says nothing, for whether it has a row is known later."""
    file = read_minutes(desk.path(name))
    silent = np.isnan(file.signal)
    columns = {
        column: Column([adr], np.where(silent, np.nan, values)[:, None], rule(column))
        for column, values in file.columns.items()
    }
    return Panel(_exchange(desk, adr), file.times, columns)


def _signals(desk: Desk) -> Entries:
    model, over = (Known.MINUTE, _of_model(desk)[1]), (Known.DAY_OVER, Needs.EVER)
    for adr, name in files_of(desk, terms_folder(desk)).items():
        yield (_table(terms_folder(desk)), adr), partial(_minutes, desk, adr, name, lambda _: model)
    for mode in MODES:
        table = _table(signal_folder(desk, mode))
        for adr, name in files_of(desk, signal_folder(desk, mode)).items():
            yield (table, adr), partial(_signal, desk, adr, name)
        days = pd.read_csv(desk.path(days_file(desk, mode)), keep_default_na=False, na_values=[""])
        yield from _by_ticker(_stem(days_file(desk, mode)), desk, days, "date", lambda _: over)
    if desk.settings.adr.signal.calibration != "none":
        yield (_stem(calibration_file(desk)), ""), partial(_calibration, desk)


def _signal(desk: Desk, adr: str, name: str) -> Panel:
    """A signal; a copy of a baseline that the user brought may lack the model's term, which is 0 there."""
    panel = _minutes(desk, adr, name, _of_signal)
    none = np.where(np.isnan(panel.columns["signal"].values), np.nan, 0.0)
    term = Column([adr], none, _of_signal("model_return"))
    return replace(panel, columns={"model_return": term, **panel.columns})


def _of_signal(name: str) -> Rule:
    return Known.MINUTE, Needs.EVER if name in FROM_GATE else Needs.BETA


def _calibration(desk: Desk) -> Panel:
    """Slopes by month and half hour: a month has a row from its first observation on."""
    table = pd.read_csv(desk.path(calibration_file(desk)))
    rule, columns = (Known.MONTH_BEGUN, Needs.EVER), {}
    for name in ("slope", "n"):
        wide = table.pivot(index="month", columns="half_hour", values=name)
        names = [f"half hour {number}" for number in wide.columns]
        columns[name] = Column(names, wide.to_numpy(dtype=np.float64), rule)
    months = np.unique(table["month"].to_numpy().astype("datetime64[M]"))
    return Panel("", months, columns, both=True)


def _observed(desk: Desk) -> Entries:
    folder = evaluation_folder(desk)
    table = pd.read_parquet(desk.path(f"{folder}/{OBSERVATIONS}"))
    at = table["date"].dt.strftime("%Y-%m-%d ") + table["entry"]
    table = table.assign(
        time=pd.to_datetime(at).dt.tz_localize(NEW_YORK).dt.tz_convert("UTC").dt.tz_localize(None)
    )
    name = f"{_table(folder)}/{_stem(OBSERVATIONS)}"
    yield from _by_ticker(name, desk, table.drop(columns=["date", "entry"]), "time", _of_observation)


def _of_observation(name: str) -> Rule:
    if name.startswith(MODES):
        needs = Needs.EVER
    else:
        needs = Needs.PRICES if name.startswith(("mid_", "state", "early", "ex_date")) else Needs.BETA
    if name.endswith("_open") or name == "ex_date":
        return Known.NEXT_OPEN, needs
    return Known.DAY_OVER if name.endswith("_close") or name in OUTCOME_OF_DAY else Known.MINUTE, needs


def _by_ticker(
    table: str, desk: Desk, frame: pd.DataFrame, moment: str, rule: Callable[[str], Rule]
) -> Entries:
    """One panel for each ADR of a table with a row for each ADR and moment."""
    unit = {"month": "datetime64[M]", "date": "datetime64[D]", "time": "datetime64[ns]"}[moment]
    instruments: Mapping[str, Instrument] = read_instruments(desk).by_adr
    for ticker, rows in frame.groupby("ticker", sort=True):
        adr = str(ticker)
        of_adr = rows.sort_values(moment)
        moments = of_adr[moment].to_numpy().astype(unit)
        columns = {
            str(name): Column([adr], _values(of_adr[name]), rule(str(name)))
            for name in frame.columns
            if name not in ("ticker", moment)
        }
        yield (table, adr), partial(_as_it_is, Panel(instruments[adr].exchange, moments, columns))


def _values(column: pd.Series[Any]) -> np.ndarray[Any, np.dtype[Any]]:
    """Numbers, or texts with None where one is missing; (T, 1)."""
    values = column.to_numpy()
    if pd.api.types.is_numeric_dtype(column):
        values = values.astype(np.float64)
    else:
        values = np.array([None if pd.isna(value) else str(value) for value in column], dtype=object)
    found: np.ndarray[Any, np.dtype[Any]] = values[:, None]
    return found


_TABLES: Mapping[str, Callable[[Desk], Entries]] = {
    "convert": _converted,
    "align": _aligned,
    "betas": _betas,
    "features": _features,
    "train": _trained,
    "evaluate": _evaluated,
    "baseline": _baseline,
    "signal": _signals,
    "evaluate-signal": _observed,
}
