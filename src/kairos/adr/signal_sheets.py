"""What the report shows of the minute signal, read from the desk's files. Numbers only, no layout."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from kairos.adr.baseline import premium_remark
from kairos.adr.desk import ETF_MINUTES
from kairos.adr.evaluate_signal import (
    BY_ADR,
    EXCLUDED,
    FORECASTS,
    HALF_HOURS,
    ICS,
    evaluation_folder,
    other_leg,
    signal_reading,
)
from kairos.adr.instruments import read_instruments
from kairos.adr.minutefile import file_of, read_minutes
from kairos.adr.outcomes import lacking_for_open
from kairos.adr.results import read_csv
from kairos.adr.signal import FUTURES, MODEL, NONE, days_file, signal_folder
from kairos.report import Estimate
from kairos.report.adr_signal import AdrSignalSheet, SignalAdr, SignalEntry, SignalForecast

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kairos.adr.desk import Desk
    from kairos.adr.files import Array

_MODES = {"full_sample": "full sample, chosen in-sample", "expanding": "expanding, past months only"}
_ESTIMATE = ("low", "high", "t", "days")
_COLUMNS: Mapping[str, Mapping[str, Sequence[str]]] = {
    ICS: {
        "texts": ("entry", "kind", "forecast", "outcome", "price"),
        "numbers": ("ic", "n", *_ESTIMATE),
        "flags": ("hedged",),
    },
    BY_ADR: {"texts": ("ticker", "forecast"), "numbers": ("ic", *_ESTIMATE)},
    HALF_HOURS: {"numbers": ("minutes", "slope", "r2", *_ESTIMATE)},
    EXCLUDED: {},
}
"""Columns of the tables that the report shows, by what they hold."""

_EXCLUDED = {
    "all": "All",
    "no quote": "No quote at entry or exit",
    "old": "Quote too old",
    "wide": "Quote too wide",
    "early": "Flagged: New York or the exchange closed early",
    "ex_date": "Flagged: ex-date at the next session (no return to its open)",
}
MOST_LINES = 12
"""ADRs in the chart of the last day: those with the largest signals."""


def has_signal(desk: Desk) -> bool:
    """Whether the minute signal has been evaluated."""
    return desk.path(f"{evaluation_folder(desk)}/{ICS}").is_file()


def signal_sheet(desk: Desk) -> AdrSignalSheet:
    """Fill the sheet of the minute signal.

    Raises
    ------
    InputError
        A file of the steps `signal` or `evaluate-signal` is missing.
    """
    ics, by_adr, half_hours, excluded = (
        read_csv(desk, f"{evaluation_folder(desk)}/{name}", "evaluate-signal", **_COLUMNS[name])
        for name in (ICS, BY_ADR, HALF_HOURS, EXCLUDED)
    )
    days = read_csv(
        *(desk, days_file(desk), "signal"),
        texts=["ticker", "date", "source", "reason"],
        numbers=["premium_c"],
    )
    settings = desk.settings.adr
    mode, level = settings.gate.mode, settings.signal_evaluation.level
    pooled = ics[(ics["entry"] == "all") & (ics["kind"] == "pooled")]
    with_rows = days[days["source"] != NONE]
    day = str(with_rows["date"].max()) if len(with_rows) else ""
    minutes, lines = _last_day(desk, sorted(set(with_rows["ticker"])), day)
    traded = pooled[(pooled["outcome"] == "close") & (pooled["price"] == "traded") & ~pooled["hedged"]]
    of_mode = traded.set_index("forecast")["ic"]
    shown = sorted(lines, key=lambda adr: -_size(lines[adr]))[:MOST_LINES]
    return AdrSignalSheet(
        facts=[
            ("Data", str(desk.root)),
            ("Days", f"{with_rows['date'].min()} to {day}"),
            ("Gate", _MODES[mode]),
            ("Currency leg", settings.signal.currency_leg),
            ("Calibration", settings.signal.calibration),
        ],
        warnings=_warnings(desk, days),
        reading=signal_reading(ics, excluded, mode, level),
        level=level,
        mode=_MODES[mode],
        day=day,
        minutes=minutes,
        lines={adr: lines[adr] for adr in sorted(shown)},
        forecasts=[
            _forecast(pooled, name, mode, other_leg(desk))
            for name in sorted(FORECASTS, key=lambda n: n != mode)
        ],
        entries=[_entry(ics, entry, mode) for entry in sorted(set(ics["entry"]) - {"all"})],
        adrs=[_adr(by_adr, of, str(adr), mode, lines) for adr, of in days.groupby("ticker", sort=True)],
        half_hours=[
            Estimate(
                f"{row['minutes']:.0f}", row["slope"], row["low"], row["high"], row["t"], int(row["days"])
            )
            for _, row in half_hours.iterrows()
        ],
        r2=half_hours["r2"].to_numpy(dtype=np.float64),
        excluded=[(_EXCLUDED[what], int(n)) for what, n in excluded.itertuples(index=False)],
        hindsight=float(of_mode["full_sample"] - of_mode["expanding"]),
        assumptions=_assumptions(desk),
    )


def _last_day(desk: Desk, adrs: list[str], day: str) -> tuple[np.ndarray, dict[str, Array]]:
    """Minutes of a day on New York's clock, and the signal of each ADR at them."""
    found = {}
    for adr in adrs:
        file = read_minutes(desk.path(file_of(signal_folder(desk), adr)))
        chosen = file.dates == np.datetime64(day or "NaT", "D")
        if chosen.any():
            local = pd.DatetimeIndex(file.times[chosen], tz="UTC").tz_convert("America/New_York")
            found[adr] = pd.Series(file.signal[chosen], index=local.tz_localize(None))
    table = pd.DataFrame(found).sort_index()
    return table.index.to_numpy(), {str(adr): table[adr].to_numpy(dtype=np.float64) for adr in table}


def _size(values: Array) -> float:
    known = np.abs(values[np.isfinite(values)])
    return float(known.mean()) if len(known) else 0.0


def _estimate(rows: pd.DataFrame, label: str) -> Estimate:
    if rows.empty:
        return Estimate(label, np.nan)
    row = rows.iloc[0]
    return Estimate(label, row["ic"], row["low"], row["high"], row["t"], int(row["days"]))


def _forecast(pooled: pd.DataFrame, name: str, mode: str, leg: str) -> SignalForecast:
    labels = {
        mode: f"Signal, gate {_MODES[mode]}",
        "baseline": "Baseline, the index future alone",
        "other_leg": f"The same under the currency leg {leg}",
        "reversal": "Reversal of the ADR's own move",
    }
    of = pooled[pooled["forecast"] == name]

    def chosen(outcome: str, price: str, *, hedged: bool) -> Estimate:
        rows = of[(of["outcome"] == outcome) & (of["price"] == price) & (of["hedged"] == hedged)]
        return _estimate(rows, name)

    return SignalForecast(
        label=labels.get(name, f"Other gate, {_MODES.get(name, name)}"),
        traded=chosen("close", "traded", hedged=False),
        mid=chosen("close", "mid", hedged=False),
        hedged=chosen("close", "traded", hedged=True),
        next_open=chosen("open", "traded", hedged=False),
    )


def _entry(ics: pd.DataFrame, entry: str, mode: str) -> SignalEntry:
    of = ics[(ics["entry"] == entry) & (ics["price"] == "traded") & ~ics["hedged"]]

    def chosen(forecast: str, kind: str, outcome: str = "close") -> pd.DataFrame:
        return of[(of["forecast"] == forecast) & (of["kind"] == kind) & (of["outcome"] == outcome)]

    pooled = chosen(mode, "pooled")
    return SignalEntry(
        time=entry,
        signal=_estimate(pooled, entry),
        baseline=_estimate(chosen("baseline", "pooled"), entry),
        reversal=_estimate(chosen("reversal", "pooled"), entry),
        across=_estimate(chosen(mode, "across"), entry),
        across_open=_estimate(chosen(mode, "across", "open"), entry),
        observations=int(pooled["n"].iloc[0]),
    )


def _adr(by_adr: pd.DataFrame, days: pd.DataFrame, adr: str, mode: str, lines: dict[str, Array]) -> SignalAdr:
    of = by_adr[by_adr["ticker"] == adr]
    last = days.iloc[-1]
    values = lines.get(adr, np.empty(0))
    known = values[np.isfinite(values)]
    counts = days["source"].value_counts()
    return SignalAdr(
        ticker=adr,
        source=str(last["source"]),
        reason="" if pd.isna(last["reason"]) else str(last["reason"]),
        model_days=int(counts.get(MODEL, 0)),
        baseline_days=int(counts.get(FUTURES, 0)),
        days_without=int(counts.get(NONE, 0)),
        ic=_estimate(of[of["forecast"] == mode], adr),
        baseline_ic=_estimate(of[of["forecast"] == "baseline"], adr),
        last=float(known[-1]) if len(known) else np.nan,
        premium=float(days["premium_c"].median()),
    )


def _warnings(desk: Desk, days: pd.DataFrame) -> list[str]:
    settings, found = desk.settings.adr, []
    if settings.gate.mode == "full_sample":
        found.append(
            "The gate is the full-sample one: its ADRs are chosen with the months that are measured. The "
            "expanding gate stands beside it."
        )
    shown = set(days["ticker"])
    instruments = [one for one in read_instruments(desk).instruments if one.adr in shown]
    found += [f"No returns to the next open: {text}." for text in lacking_for_open(desk, instruments)]
    if not any(desk.path(ETF_MINUTES).glob("ticker=*/data.parquet")):
        found.append(f"No hedged returns: there are no minute bars of the funds in {ETF_MINUTES}.")
    limit = settings.signal.max_premium
    for adr, of in days.groupby("ticker", sort=True):
        far = of["premium_c"].abs() > limit
        if far.any():
            found.append(premium_remark(str(adr), float(of["premium_c"].median()), int(far.sum()), limit))
    none = days[days["source"] == NONE]
    for reason, of in none.groupby("reason", sort=True):
        found.append(f"{len(of)} days of ADRs have no signal: {reason}.")
    return found


def _assumptions(desk: Desk) -> list[tuple[str, str]]:
    rules = desk.settings.adr.signal_evaluation
    facts = {
        "Entries": f"{', '.join(rules.entries)} in New York, traded at the quote a minute later: at the ask "
        "to buy, at the bid to sell; the way out is the other side of the last quote.",
        "Left out": f"Quotes wider than {rules.max_spread * 1e4:.0f} bp or older than {rules.max_age} s.",
        "Next open": "The ordinary's next unadjusted open, times the rate then and the ordinaries in one "
        "ADR, over the quote. The premium of the ADR at the time is not taken out.",
        "Hedge": "The ADR less beta times the market's fund, from the minute of the trade to the close.",
        "Errors": f"Clustered by day; intervals of {rules.level:.0%}. Entries of a day are not independent.",
    }
    return list(facts.items())
