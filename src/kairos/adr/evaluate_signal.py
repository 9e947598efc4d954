"""The step `evaluate-signal`: what the minute signal knows about the ADR's return that follows.

In ``data/processed/index_russell_{model}_signal_evaluation/``:

* ``observations.parquet``: every ADR, day and entry time with its forecasts and returns;
* ``ic.csv``: correlations of forecast and return, over all observations and across the ADRs of a day;
* ``ic_by_adr.csv``: the same of each ADR over its days;
* ``half_hours.csv``: what the ADR does beyond its index for one unit of the model, by half hour since c;
* ``excluded.csv``: observations that can't be traded, and those that are flagged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from kairos.adr.baseline import first_and_last
from kairos.adr.calibrate import HALF_HOUR, half_hours
from kairos.adr.clock import Clock
from kairos.adr.desk import BASELINE
from kairos.adr.gate import MODES
from kairos.adr.instruments import read_instruments
from kairos.adr.minutefile import MinuteFile, file_of, files_of, read_minutes
from kairos.adr.minuteinputs import beta_on, with_minutes
from kairos.adr.outcomes import NONE, OLD, WIDE, Entries, by_side, entries_of, traded
from kairos.adr.signal import signal_folder, terms_folder
from kairos.adr.sources import quoted
from kairos.errors import InputError
from kairos.evaluation import information_coefficient, mean_test
from kairos.evaluation.clustered import clustered_correlation, clustered_slope

if TYPE_CHECKING:
    from kairos.adr.desk import Desk
    from kairos.adr.files import Array
    from kairos.adr.instruments import Instrument

OBSERVATIONS, ICS, BY_ADR = "observations.parquet", "ic.csv", "ic_by_adr.csv"
HALF_HOURS, EXCLUDED = "half_hours.csv", "excluded.csv"

FORECASTS = (*MODES, "baseline", "other_leg", "reversal")
"""The signal under both modes of the gate, and the nulls: the index future alone, the same under the other
currency leg, and the ADR's own move since c with its sign changed."""

OUTCOMES = ("close", "open")
FEWEST_ADRS = 5
"""ADRs that a cross-section needs."""

IC_COLUMNS = [
    *("forecast", "entry", "outcome", "price", "hedged", "kind", "ic", "low", "high", "t", "n", "days"),
]


@dataclass(frozen=True, eq=False)
class SignalEvaluationReport:
    """Outcome of the step.

    Attributes
    ----------
    ics : DataFrame
        Rows of ``ic.csv``.
    half_hours : DataFrame
        Rows of ``half_hours.csv``.
    excluded : DataFrame
        Rows of ``excluded.csv``.
    mode : str
        The configured mode of the gate.
    level : float
        Coverage of the intervals.
    """

    ics: pd.DataFrame
    half_hours: pd.DataFrame
    excluded: pd.DataFrame
    mode: str
    level: float

    def table(self) -> tuple[list[str], list[list[object]]]:
        """Columns and one row for each forecast, all entry times together, traded, to New York's close."""
        columns = ["Forecast", "IC", "Low", "High", "t", "Observations", "Days"]
        chosen = headline(self.ics)
        shown = ["forecast", "ic", "low", "high", "t", "n", "days"]
        return columns, chosen[shown].to_numpy(dtype=object).tolist()

    def remarks(self) -> list[str]:
        """Plain sentences."""
        if self.ics.empty:
            return ["There is no minute signal to evaluate."]
        return signal_reading(self.ics, self.excluded, self.mode, self.level)


def evaluation_folder(desk: Desk) -> str:
    """Folder of the evaluation, relative to the data directory."""
    return f"{signal_folder(desk)}_evaluation"


def other_leg(desk: Desk) -> str:
    """The currency leg that is not configured."""
    return "usd_future" if desk.settings.adr.signal.currency_leg == "local_future" else "local_future"


def evaluate_signal(
    desk: Desk, progress: Callable[[int, int], object] | None = None
) -> SignalEvaluationReport:
    """Evaluate the minute signal against what follows.

    An observation is an ADR, a day and an entry time; see :mod:`kairos.adr.outcomes` for its returns. Each
    forecast meets the return on the side that it takes (`traded`), and from mid to mid beside it. The hedged
    return is that of the ADR minus β times that of the market's fund. Errors are clustered by day.

    Raises
    ------
    InputError
        Baseline or signal are missing, or a file of prices is wrong.
    """
    scope = read_instruments(desk)
    rules = desk.settings.adr.signal_evaluation
    if not quoted(desk):
        empty = pd.DataFrame(columns=IC_COLUMNS)
        return SignalEvaluationReport(empty, empty, empty, desk.settings.adr.gate.mode, rules.level)
    kept, _ = with_minutes(desk, scope.instruments)
    there = files_of(desk, signal_folder(desk))
    kept = [one for one in kept if one.adr in there]
    if not kept:
        raise InputError(f"{desk.path(signal_folder(desk))}: no signal of any ADR; run `signal` first")
    observations = _observe(desk, kept, progress)
    ics, by_adr = _all_ics(observations, rules.level), _by_adr(observations, rules.level)
    slopes = _half_hours(desk, kept, rules.level)
    excluded = _excluded(observations)
    into = evaluation_folder(desk)
    tables = {ICS: ics, BY_ADR: by_adr, HALF_HOURS: slopes, EXCLUDED: excluded}
    desk.save(
        [
            (f"{into}/{OBSERVATIONS}", partial(observations.to_parquet, index=False)),
            *((f"{into}/{name}", partial(table.to_csv, index=False)) for name, table in tables.items()),
        ]
    )
    return SignalEvaluationReport(ics, slopes, excluded, desk.settings.adr.gate.mode, rules.level)


def headline(ics: pd.DataFrame) -> pd.DataFrame:
    """Rows of all entry times together: traded, to the close, not hedged, over all observations."""
    chosen = (ics["entry"] == "all") & (ics["outcome"] == "close") & (ics["price"] == "traded")
    return ics[chosen & ~ics["hedged"] & (ics["kind"] == "pooled")]


def signal_reading(ics: pd.DataFrame, excluded: pd.DataFrame, mode: str, level: float) -> list[str]:
    """What the correlations say, in sentences."""
    rows = headline(ics).set_index("forecast")
    said = []
    for name, text in (
        (mode, f"The signal (gate {mode.replace('_', ' ')}{', chosen in-sample' * (mode == 'full_sample')})"),
        ("baseline", "The futures-only baseline"),
        ("reversal", "The ADR's own reversal"),
    ):
        row = rows.loc[name]
        if not np.isfinite(row["low"]):
            said.append(f"{text} has too few days for an interval ({row['days']:.0f}).")
            continue
        beyond = row["low"] > 0.0 or row["high"] < 0.0
        verdict = "which lies on one side of zero" if beyond else "which has zero inside"
        said.append(
            f"{text} has an IC of {row['ic']:+.3f} with the return to New York's close over "
            f"{row['days']:.0f} days; the {level:.0%} interval is {row['low']:+.3f} to {row['high']:+.3f}, "
            f"{verdict}."
        )
    both = rows.loc[list(MODES), "ic"]
    said.append(
        f"Choosing the ADRs with hindsight is worth {both['full_sample'] - both['expanding']:+.3f} of IC: "
        f"{both['full_sample']:+.3f} against {both['expanding']:+.3f} with past months only."
    )
    counts = excluded.set_index("what")["n"]
    out = {name: int(counts.get(name, 0)) for name in ("no quote", "old", "wide")}
    if total := sum(out.values()):
        said.append(
            f"{total} of {int(counts['all'])} observations can't be traded: {out['no quote']} without quote, "
            f"{out['old']} with an old one, {out['wide']} with a wide one."
        )
    return said


def _observe(
    desk: Desk, kept: Sequence[Instrument], progress: Callable[[int, int], object] | None
) -> pd.DataFrame:
    """Forecasts and returns of every ADR, day and entry time."""
    first, last = first_and_last(desk, kept)
    clocks: dict[str, Clock] = {}
    for one in kept:
        if one.exchange not in clocks:
            clocks[one.exchange] = Clock.of(one, first, last)
    betas = beta_on(desk, [one.adr for one in kept], {one.adr: clocks[one.exchange] for one in kept})
    parts = []
    for number, one in enumerate(kept, 1):
        parts.append(_observe_one(desk, one, clocks[one.exchange], betas[one.adr]))
        if progress:
            progress(number, len(kept))
    return pd.concat(parts, ignore_index=True)


def _observe_one(desk: Desk, one: Instrument, clock: Clock, beta: Array) -> pd.DataFrame:
    base = read_minutes(desk.path(file_of(BASELINE, one.adr)))
    signals = {mode: read_minutes(desk.path(file_of(signal_folder(desk, mode), one.adr))) for mode in MODES}
    entries = entries_of(clock, desk.settings.adr.signal_evaluation.entries)
    entries = _only(entries, np.isfinite(_at(base, base.signal, entries)))
    found = traded(desk, one, entries)
    hedge = beta[np.searchsorted(clock.days, entries.day)] * found.fund
    missing = np.full(len(base.times), np.nan)
    moved = base.columns.get("adr_return", missing)
    other = base.columns.get(f"signal_{other_leg(desk)}", missing)
    forecasts: dict[str, Array] = {mode: _at(file, file.signal, entries) for mode, file in signals.items()}
    forecasts |= {"baseline": _at(base, base.signal, entries), "other_leg": _at(base, other, entries)}
    forecasts["reversal"] = -_at(base, moved, entries)
    columns: dict[str, np.ndarray] = {
        "ticker": np.full(len(entries.time), one.adr, dtype=object),
        "date": entries.day.astype("datetime64[s]"),
        "entry": entries.entry,
        **forecasts,
        "hedge": hedge,
        "state": found.state,
        "early": found.early,
        "ex_date": found.ex_date,
    }
    for outcome in OUTCOMES:
        mid, long, short = (getattr(found, f"{side}_{outcome}") for side in ("mid", "long", "short"))
        columns[f"mid_{outcome}"] = mid
        columns |= {f"{name}_{outcome}": by_side(f, long, short) for name, f in forecasts.items()}
    return pd.DataFrame(columns)


def _only(entries: Entries, chosen: np.ndarray) -> Entries:
    return Entries(entries.day[chosen], entries.entry[chosen], entries.time[chosen], entries.close[chosen])


def _at(file: MinuteFile, values: Array, entries: Entries) -> Array:
    """Values of a signal file at the minutes of the entries; NaN where it has no row."""
    if not len(file.times):
        return np.full(len(entries.time), np.nan)
    rows = np.minimum(np.searchsorted(file.times, entries.time), len(file.times) - 1)
    return np.where(file.times[rows] == entries.time, values[rows], np.nan)


def _returns(table: pd.DataFrame, forecast: str, outcome: str, price: str, *, hedged: bool) -> Array:
    """Return that a forecast meets, (n,)."""
    name = f"mid_{outcome}" if price == "mid" else f"{forecast}_{outcome}"
    values: Array = table[name].to_numpy(dtype=np.float64)
    hedge: Array = table["hedge"].to_numpy(dtype=np.float64)
    return values - hedge if hedged else values


def _all_ics(observations: pd.DataFrame, level: float) -> pd.DataFrame:
    """Correlations by forecast, entry time, outcome and price; the fund hedges what ends at the close."""
    entries = ["all", *sorted(set(observations["entry"]))]
    rows = []
    for entry in entries:
        part = observations if entry == "all" else observations[observations["entry"] == entry]
        for outcome, hedged in (("close", False), ("close", True), ("open", False)):
            for price in ("traded", "mid"):
                for forecast in FORECASTS:
                    y = _returns(part, forecast, outcome, price, hedged=hedged)
                    names = (forecast, entry, outcome, price, hedged)
                    rows += [[*names, *found] for found in _ics(part, forecast, y, entry, level)]
    return pd.DataFrame(rows, columns=IC_COLUMNS)


def _ics(part: pd.DataFrame, forecast: str, y: Array, entry: str, level: float) -> list[list[object]]:
    """Over all observations, and across the ADRs of each day."""
    pooled = clustered_correlation(
        part[forecast].to_numpy(dtype=np.float64), y, part["date"].to_numpy(), level
    )
    found: list[list[object]] = [
        ["pooled", pooled.value, pooled.low, pooled.high, pooled.t, pooled.n, pooled.clusters]
    ]
    if entry != "all":
        daily, n = _across(part, forecast, y)
        across = mean_test(daily, lags=0, level=level)
        found.append(["across", across.mean, across.low, across.high, across.t, n, across.n])
    return found


def _across(part: pd.DataFrame, forecast: str, y: Array) -> tuple[Array, int]:
    """Rank correlation across the ADRs of each day, (days,), NaN with fewer than five; and observations."""
    both = part.assign(y=y).dropna(subset=[forecast, "y"])
    if both.empty:
        return np.array([np.nan]), 0
    x, z = (both.pivot(index="date", columns="ticker", values=name).to_numpy() for name in (forecast, "y"))
    daily = information_coefficient(x, z, np.isfinite(x), min_names=FEWEST_ADRS)
    return daily, int(np.isfinite(x[np.isfinite(daily)]).sum())


def _by_adr(observations: pd.DataFrame, level: float) -> pd.DataFrame:
    """Correlation of each ADR over its days and entry times."""
    rows = []
    for adr, part in observations.groupby("ticker", sort=True):
        for forecast in FORECASTS:
            y = _returns(part, forecast, "close", "traded", hedged=False)
            found = clustered_correlation(
                part[forecast].to_numpy(dtype=np.float64), y, part["date"].to_numpy(), level
            )
            rows.append([adr, forecast, found.value, found.low, found.high, found.t, found.n, found.clusters])
    return pd.DataFrame(rows, columns=["ticker", "forecast", "ic", "low", "high", "t", "n", "days"])


def _half_hours(desk: Desk, kept: Sequence[Instrument], level: float) -> pd.DataFrame:
    """Slope and R² of what the ADR did beyond its index on the model, by half hour since the close.

    Over all ADRs with a model, whatever the gate says, without a constant; 1 means that coefficients fitted
    on whole days hold for the part of a day.
    """
    terms = files_of(desk, terms_folder(desk))
    parts = [
        half_hours(
            read_minutes(desk.path(file_of(BASELINE, one.adr))),
            read_minutes(desk.path(terms[one.adr])),
            desk.settings.adr.signal.min_coverage,
        )
        for one in kept
        if one.adr in terms
    ]
    columns = ["half_hour", "minutes", "slope", "low", "high", "t", "r2", "n", "days"]
    seen = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["bucket"])
    rows = []
    for number, part in seen.groupby("bucket", sort=True):
        found = clustered_slope(part["model"], part["beyond"], part["date"].to_numpy(), level, constant=False)
        bucket = int(number)
        rows.append(
            [
                *(bucket, int((bucket + 1) * HALF_HOUR / 60), found.value, found.low, found.high, found.t),
                *(found.r2, found.n, found.clusters),
            ]
        )
    return pd.DataFrame(rows, columns=columns)


def _excluded(observations: pd.DataFrame) -> pd.DataFrame:
    """Numbers of observations that can't be traded, by reason, and of those that are flagged."""
    states = observations["state"].value_counts()
    rows = [("all", len(observations))]
    rows += [(state, int(states.get(state, 0))) for state in (NONE, OLD, WIDE)]
    rows += [(name, int(observations[name].sum())) for name in ("early", "ex_date")]
    return pd.DataFrame(rows, columns=["what", "n"])
