"""The step `signal`: index and US stocks for the ADRs that pass the gate, the baseline for the others.

``data/processed/index_russell_{model}_signal/ticker={ADR}/data.parquet`` holds the configured mode of the
gate, ``…_signal_expanding`` or ``…_signal_full_sample`` the other one; ``…_days.csv`` beside them says for
each day what was used and why. ``…_terms`` has the model of every ADR, whatever the gate says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from kairos import executor
from kairos.adr import fairvalue
from kairos.adr.baseline import NOT_YOURS, baselines, first_and_last
from kairos.adr.calibrate import Calibration, calibrate
from kairos.adr.desk import BASELINE, US_BETAS, fingerprint
from kairos.adr.files import listed
from kairos.adr.gate import MODES, Gate, Mode, read_gates
from kairos.adr.instruments import read_instruments
from kairos.adr.minutefile import (
    MinuteFile,
    content_of,
    digest,
    file_of,
    files_of,
    marks,
    notes_of,
    read_minutes,
    write_again,
    write_minutes,
)
from kairos.adr.minuteinputs import Venues, with_minutes
from kairos.adr.minutes import future_name, new_york_clock
from kairos.adr.models import folder
from kairos.adr.modelterm import ModelTerm, model_files, model_terms
from kairos.adr.sources import quoted, us_files
from kairos.errors import InputError

if TYPE_CHECKING:
    from kairos.adr.desk import Desk
    from kairos.adr.instruments import Instrument
    from kairos.adr.minuteinputs import IndexMinutes

DAY_COLUMNS = [
    *("ticker", "date", "source", "reason", "n_features", "n_missing", "coverage", "first", "last"),
    "premium_c",
]
MODEL, FUTURES, NONE = "model", "baseline", "none"
ADRS_A_TASK = 8
"""ADRs of one exchange that a task works on together."""
GATE_CLOSED, NO_MODEL, LOW_COVERAGE = "gate", "no model", "coverage"
NO_US, NO_US_BETAS = "no US prices", "no US betas"
NO_COMMON, NO_TERM = "no minute in common", "no future or exchange rate"
"""Of a baseline of the user: its stamps are none of the signal's minutes; the future has no price at them."""
WHY_BASELINE = (NO_MODEL, NO_US, NO_US_BETAS, LOW_COVERAGE, NO_COMMON, NO_TERM)
"""Reasons that are told, besides the gate's."""


@dataclass(frozen=True, eq=False)
class SignalReport:
    """Outcome of the step `signal`.

    Attributes
    ----------
    days : mode → DataFrame
        Rows of the files ``…_days.csv``.
    mode
        The configured mode.
    left : ADR → reason
        ADRs in scope without minutes.
    """

    days: Mapping[str, pd.DataFrame]
    mode: str
    left: Mapping[str, str]

    def table(self) -> tuple[list[str], list[list[object]]]:
        """Columns and one row for each ADR, of the configured mode."""
        columns = ["ADR", "Days", "With the model", "Baseline", "No signal", "Coverage", "First", "Last"]
        if not self.days:
            return columns, []
        rows: list[list[object]] = []
        for adr, of in self.days[self.mode].groupby("ticker", sort=True):
            kinds = Counter(of["source"])
            rows.append(
                [
                    *(adr, len(of), kinds[MODEL], kinds[FUTURES], kinds[NONE], of["coverage"].mean()),
                    *(of["date"].iloc[0], of["date"].iloc[-1]),
                ]
            )
        return columns, rows

    def remarks(self) -> list[str]:
        """Plain sentences."""
        if not self.days:
            return ["There are no quotes of ADRs: no minute signal."]
        said = []
        for mode, days in self.days.items():
            using = sorted(set(days.loc[days["source"] == MODEL, "ticker"]))
            marked = ", chosen in-sample" if mode == "full_sample" else ""
            said.append(
                f"Gate {mode}{marked}: {len(using)} of {days['ticker'].nunique()} ADRs use the model"
                + (f" ({listed(using, 20)})." if using else ".")
            )
        chosen = self.days[self.mode]
        for reason in WHY_BASELINE:
            of = chosen[(chosen["source"] == FUTURES) & (chosen["reason"] == reason)]
            if len(of):
                counts = [f"{adr} {n}" for adr, n in of["ticker"].value_counts().sort_index().items()]
                said.append(f"Days that use the baseline, {reason}: {listed(counts, 10)}.")
        none = chosen[chosen["source"] == NONE]
        for reason, of in none.groupby("reason", sort=True):
            counts = [f"{adr} {n}" for adr, n in of["ticker"].value_counts().sort_index().items()]
            said.append(f"Days without a signal, {reason}: {listed(counts, 10)}.")
        return said


def signal_folder(desk: Desk, mode: Mode | None = None) -> str:
    """Folder of a mode's signal, by default of the configured one, relative to the data directory."""
    name = f"data/processed/index_russell_{folder(desk.settings.adr.model.name)}_signal"
    return name if mode in (None, desk.settings.adr.gate.mode) else f"{name}_{mode}"


def days_file(desk: Desk, mode: Mode | None = None) -> str:
    """File of the days of a mode, relative to the data directory."""
    return f"{signal_folder(desk, mode)}_days.csv"


def terms_folder(desk: Desk) -> str:
    """Folder of the models' terms of all ADRs, relative to the data directory."""
    return f"{signal_folder(desk)}_terms"


def calibration_file(desk: Desk) -> str:
    """File of the slopes by half hour and month, relative to the data directory."""
    return f"{signal_folder(desk)}_calibration.csv"


def signal(desk: Desk, progress: Callable[[int, int], object] | None = None) -> SignalReport:
    """Write the minute signal of every ADR, under both modes of the gate.

    ::

        signal(t) = baseline(t) + model(t)·(1 + fx(t))

    where the gate is open, there is a model for the month and its coverage at c is at least
    `adr.signal.min_coverage`; elsewhere the baseline. `model_return` is the second term. A baseline that the
    user brought is taken as it is, row by row.

    Raises
    ------
    InputError
        Baseline, models or evaluation are missing, a model is not linear, or a file of bars is wrong.

    Notes
    -----
    The row of t uses what was known and had arrived at t, and the model of t's month. In the mode
    `full_sample` the choice of ADRs is made with hindsight, and the files say so. One ADR is written at a
    time, whole; a run that was interrupted goes on with those that are missing.
    """
    scope = read_instruments(desk)
    if not quoted(desk):
        return SignalReport({}, desk.settings.adr.gate.mode, {})
    kept, left = with_minutes(desk, scope.instruments)
    given = baselines(desk)
    only_users = desk.settings.adr.baseline.source == "user"
    why = NOT_YOURS if only_users else "no baseline; run `baseline` first"
    left |= {one.adr: why for one in kept if one.adr not in given}
    kept = [one for one in kept if one.adr in given]
    if not kept:
        raise InputError(f"{desk.path(BASELINE)}: no ADR has a signal: {why}")
    gates = read_gates(desk)
    _write_terms(desk, kept, progress)
    slopes = calibrate(desk, [one.adr for one in kept], terms_folder(desk), calibration_file(desk))
    found: dict[str, pd.DataFrame] = {}
    for mode in MODES:
        rows = [row for one in kept for row in _write_signal(desk, one, gates[mode], slopes)]
        found[mode] = pd.DataFrame(rows, columns=DAY_COLUMNS)
        desk.save([(days_file(desk, mode), partial(found[mode].to_csv, index=False))])
    adrs = {one.adr for one in kept}
    for each in (terms_folder(desk), *(signal_folder(desk, mode) for mode in MODES)):
        desk.remove(name for adr, name in files_of(desk, each).items() if adr not in adrs)
    return SignalReport(found, desk.settings.adr.gate.mode, left)


def _write_terms(
    desk: Desk, kept: Sequence[Instrument], progress: Callable[[int, int], object] | None
) -> None:
    """Write the models' terms of the ADRs whose files are not those of the present inputs."""
    bars = us_files(desk)
    of_bars, span = digest(*marks(bars.values())), first_and_last(desk, kept)
    keys = {one.adr: _terms_made_of(desk, one, of_bars, span) for one in kept}
    into = terms_folder(desk)
    todo = [one for one in kept if desk.force or not desk.is_current(file_of(into, one.adr), keys[one.adr])]
    if not todo:
        return
    groups = _groups(todo)
    contents = executor.iterate(
        partial(_term_contents, desk, Venues(desk, todo, *span), bars),
        groups,
        workers=desk.settings.run,
        name=lambda group: listed([one.adr for one in group], 20),
        progress=progress,
    )
    for group, found in zip(groups, contents, strict=True):
        for one, content in zip(group, found, strict=True):
            desk.save([(file_of(into, one.adr), partial(Path.write_bytes, data=content))], keys[one.adr])


def _groups(instruments: Sequence[Instrument]) -> list[list[Instrument]]:
    """A few ADRs of one exchange each: what a task samples of a stock serves them all."""
    by_exchange: dict[str, list[Instrument]] = {}
    for one in instruments:
        by_exchange.setdefault(one.exchange, []).append(one)
    return [
        of[start : start + ADRS_A_TASK]
        for of in by_exchange.values()
        for start in range(0, len(of), ADRS_A_TASK)
    ]


def _term_contents(
    desk: Desk,
    venues: Venues,
    bars: Mapping[str, Path],
    group: Sequence[Instrument],
) -> list[bytes]:
    """Make what the files of some ADRs' terms hold."""
    terms = model_terms(desk, group, venues, bars)
    return [_term_content(one, terms[one.adr], venues.of(one)) for one in group]


def _term_content(one: Instrument, term: ModelTerm, venue: IndexMinutes) -> bytes:
    clock = venue.clock
    columns = {
        "signal": fairvalue.in_usd(term.model, venue.fx),
        "model": term.model,
        "coverage": term.coverage,
        "coverage_c": term.coverage_then,
        "n_missing": term.n_missing,
        "n_features": term.n_features[clock.day].astype(np.float64),
        "has_model": term.has_model[clock.day].astype(np.float64),
        "has_betas": term.has_betas[clock.day].astype(np.float64),
        "since_c": (clock.times - clock.reference[clock.day]) / np.timedelta64(1, "s"),
    }
    return content_of(clock.times, columns, {"adr": one.adr})


def _terms_made_of(
    desk: Desk, one: Instrument, of_bars: str, span: tuple[np.datetime64, np.datetime64]
) -> str:
    settings = desk.settings.adr
    paths = [desk.path(f"{US_BETAS}/{one.exchange}_{one.index}.parquet"), *model_files(desk, one.adr)]
    paths += sorted(desk.path(future_name(one.symbol)).glob("*.parquet"))
    holds = [each.name for each in fields(ModelTerm)]
    return digest(
        one, settings.bar_label, settings.max_age, settings.start, span, of_bars, holds, *marks(paths)
    )


def _write_signal(desk: Desk, one: Instrument, gate: Gate, slopes: Calibration) -> list[dict[str, Any]]:
    """Write the signal of one ADR under one mode of the gate; gives its days."""
    source = desk.path(file_of(BASELINE, one.adr))
    term_path = desk.path(file_of(terms_folder(desk), one.adr))
    name = file_of(signal_folder(desk, gate.mode), one.adr)
    settings = desk.settings.adr.signal
    made_of = [fingerprint(source), fingerprint(term_path)]
    key = digest(gate.digest(one.adr), desk.settings.adr.gate, settings, slopes.digest(), *made_of)
    if not desk.force and desk.is_current(name, key):
        rows: list[dict[str, Any]] = notes_of(desk.path(name))["days"]
        return rows
    base, term = read_minutes(source), read_minutes(term_path)
    found = compose(base, term, gate.is_open(one.adr, term_months(term)), settings.min_coverage, slopes)
    rows = _days(one.adr, base, found)
    notes = {"days": rows, "gate": gate.mode, "in_sample": gate.mode == "full_sample"}
    write = partial(write_again, source, notes=notes, marks=_marks(gate.mode))
    if found.uses_model.any():
        write = partial(_write, base=base, found=found, notes=notes, gate=gate.mode)
    desk.save([(name, write)], key)
    return rows


@dataclass(frozen=True, eq=False)
class Composed:
    """Baseline and model of one ADR together, at the rows of the baseline.

    Attributes
    ----------
    signal, model_return, coverage : (T,)
        `model_return` is 0 where the baseline is used.
    uses_model : (T,) bool
        Which rows have the model.
    common : (T,) bool
        Which rows are minutes of the term.
    days : day → (reason, n_features, n_missing, coverage at c)
        Of the days of the term; the reason is empty where the model may be used.
    """

    signal: np.ndarray
    model_return: np.ndarray
    coverage: np.ndarray
    uses_model: np.ndarray
    common: np.ndarray
    days: Mapping[str, tuple[str, int, int, float]]


def term_months(term: MinuteFile) -> np.ndarray:
    """Month of each row of a term."""
    return term.dates.astype("datetime64[M]")


def compose(
    base: MinuteFile, term: MinuteFile, is_open: np.ndarray, min_coverage: float, slopes: Calibration
) -> Composed:
    """Add the model to the baseline where the gate is open and the stocks have prices.

    Parameters
    ----------
    base
        The futures-only signal, of the desk or the user.
    term
        The model's term at the minutes of the exchange.
    is_open : (T,) bool
        Whether the gate is open, by row of the term.
    min_coverage
        Share of the model's weight that must have a price at c.
    slopes
        Factors by month and half hour; 1 without calibration.
    """
    columns = term.columns
    enough = fairvalue.covered(columns["coverage_c"], min_coverage)
    usable = is_open & (columns["has_model"] > 0.0) & enough
    value = columns["signal"] * slopes.at(term_months(term), columns["since_c"])
    usable_row, value_row, coverage_row = (
        _on(term, base, each, fill)
        for each, fill in ((usable.astype(np.float64), 0.0), (value, np.nan), (columns["coverage"], np.nan))
    )
    uses = (usable_row > 0.0) & np.isfinite(value_row)
    added = np.where(uses, value_row, 0.0)
    return Composed(
        signal=base.signal + added,
        model_return=added,
        coverage=np.where(usable_row > 0.0, coverage_row, np.nan),
        uses_model=uses,
        common=_on(term, base, np.ones(len(term.times)), 0.0) > 0.0,
        days=_term_days(term, is_open, min_coverage),
    )


def _on(term: MinuteFile, base: MinuteFile, values: np.ndarray, fill: float) -> np.ndarray:
    """Values of the term's minutes at those of the baseline."""
    if not len(term.times):
        return np.full(len(base.times), fill)
    rows = np.minimum(np.searchsorted(term.times, base.times), len(term.times) - 1)
    return np.where(term.times[rows] == base.times, values[rows], fill)


def _term_days(
    term: MinuteFile, is_open: np.ndarray, min_coverage: float
) -> dict[str, tuple[str, int, int, float]]:
    """What each day of the term uses, and why; as of its last minute."""
    if not len(term.times):
        return {}
    days, first = np.unique(term.dates, return_index=True)
    last = np.append(first[1:], len(term.times)) - 1
    covered, features = term.columns["coverage_c"][last], term.columns["n_features"][last]
    missing, has_model = term.columns["n_missing"][last], term.columns["has_model"][last] > 0.0
    no_betas = (covered == 0.0) & (term.columns["has_betas"][last] == 0.0)
    reason = np.select(
        [~is_open[last], ~has_model, no_betas, covered == 0.0, ~fairvalue.covered(covered, min_coverage)],
        [GATE_CLOSED, NO_MODEL, NO_US_BETAS, NO_US, LOW_COVERAGE],
        "",
    )
    return {
        str(day): (str(why), int(n), int(m), float(c) if known else np.nan)
        for day, why, n, m, c, known in zip(days, reason, features, missing, covered, has_model, strict=True)
    }


def _days(adr: str, base: MinuteFile, found: Composed) -> list[dict[str, Any]]:
    """Rows of the file of days: those with a signal, and those without."""
    rows: list[dict[str, Any]] = [
        _day(adr, day, NONE, reason, (0, 0, np.nan), "", "", np.nan)
        for day, reason in base.notes.get("left", {}).items()
    ]
    if len(base.times):
        days, first = np.unique(base.dates, return_index=True)
        last = np.append(first[1:], len(base.times)) - 1
        uses, common = (np.logical_or.reduceat(each, first) for each in (found.uses_model, found.common))
        clock = [
            new_york_clock(base.times[rows]).astype("datetime64[m]").astype(str) for rows in (first, last)
        ]
        premium = base.columns.get("premium_c", np.full(len(base.times), np.nan))[first]
        for n, day in enumerate(days.astype(str)):
            why, features, missing, covered = found.days.get(day, (NO_COMMON, 0, 0, np.nan))
            source = MODEL if uses[n] else FUTURES
            reason = "" if uses[n] else why or (NO_TERM if common[n] else NO_COMMON)
            span = (str(clock[0][n])[11:], str(clock[1][n])[11:])
            rows.append(_day(adr, day, source, reason, (features, missing, covered), *span, premium[n]))
    return sorted(rows, key=lambda row: str(row["date"]))


def _day(
    adr: str,
    day: str,
    source: str,
    reason: str,
    stocks: tuple[int, int, float],
    first: str,
    last: str,
    premium: float,
) -> dict[str, Any]:
    features, missing, covered = stocks
    return {
        "ticker": adr,
        "date": day,
        "source": source,
        "reason": reason,
        "n_features": features,
        "n_missing": missing,
        "coverage": None if np.isnan(covered) else covered,
        "first": first,
        "last": last,
        "premium_c": None if np.isnan(premium) else float(premium),
    }


def _write(path: Path, *, base: MinuteFile, found: Composed, notes: Mapping[str, Any], gate: str) -> None:
    """Write baseline and model together.

    All other columns of the baseline stay: the gate, which may open later, does not decide about them.
    """
    columns = {name: values for name, values in base.columns.items() if name != "signal"}
    columns |= {"model_return": found.model_return, "coverage": found.coverage}
    if "inferred" in columns:
        columns["inferred"] = columns["inferred"] + found.model_return
    write_minutes(path, base.times, {"signal": found.signal, **columns}, notes, _marks(gate))


def _marks(gate: str) -> dict[str, str]:
    """What the metadata say of the choice of ADRs: by which mode, and whether with hindsight."""
    return {"kairos_gate": gate, "kairos_in_sample": str(gate == "full_sample").lower()}
