"""The tree of settings: types and bounds. The values are in ``defaults.toml``, none is here."""

from __future__ import annotations

import datetime as dt
import difflib
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from kairos.errors import InputError


def _optional_date(value: object) -> object:
    """Read a date as TOML has it, an ISO text, or the empty text for "none"."""
    if value == "":
        return None
    if isinstance(value, str):
        try:
            return dt.date.fromisoformat(value)
        except ValueError:
            return value
    return value


def _sequence(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _logspace(value: object) -> object:
    """Read first exponent, last exponent and count; whole exponents are written without a point."""
    if isinstance(value, list | tuple) and len(value) == 3:
        first, last, count = value
        if all(isinstance(number, int | float) and not isinstance(number, bool) for number in value):
            if first >= last or count != int(count) or count < 2:
                raise ValueError("expected [first exponent, larger last exponent, count of 2 or more]")
            return (float(first), float(last), int(count))
    return value


def _duration(value: object) -> object:
    """Read a length of time such as 15min; kept as whole seconds."""
    if isinstance(value, str):
        found = re.fullmatch(r"(\d+) ?(s|min|h)", value)
        if not found:
            raise ValueError("expected a length of time, e.g. '15min' (units s, min, h)")
        return int(found[1]) * {"s": 1, "min": 60, "h": 3600}[found[2]]
    return value


def _form(pattern: str, meaning: str) -> Callable[[str], str]:
    """Make a validator of texts that match a pattern; ``meaning`` completes "expected …"."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"expected {meaning}")
        return text

    return check


def _optional(value: object) -> object:
    """Read the empty text as "none"."""
    return None if value == "" else value


OptionalDate = Annotated[dt.date | None, BeforeValidator(_optional_date)]
Texts = Annotated[tuple[str, ...], BeforeValidator(_sequence)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Amount = Annotated[float, Field(ge=0)]
Rate = Annotated[float, Field(ge=0, le=1)]
Limit = Annotated[Annotated[float, Field(ge=0)] | None, BeforeValidator(_optional)]
"""A largest amount; the empty text is none."""
Share = Annotated[float, Field(gt=0, le=1)]
Column = Annotated[str, AfterValidator(_form(r"[A-Za-z_]\w*\.[A-Za-z_]\w*", "table.column"))]
Duration = Annotated[int, BeforeValidator(_duration), Field(ge=0)]
"""Whole seconds, written with a unit."""
ClockTime = Annotated[str, AfterValidator(_form(r"([01]\d|2[0-3]):[0-5]\d", "a time of day, e.g. 13:00"))]
Multiplier = Annotated[float, Field(gt=0)]
Span = Annotated[int, BeforeValidator(_duration), Field(ge=1)]
"""A length of time that can't be zero."""
Address = Annotated[
    str,
    AfterValidator(
        _form(
            r"https://[^\s?#@]+|http://(127\.0\.0\.1|localhost)(:\d+)?(/[^\s?#]*)?",
            "an address that begins with https://",
        )
    ),
]
Stamp = Literal["start", "end"]
Memory = Annotated[str, AfterValidator(_form(r"\d+(\.\d+)? ?[KMGT]i?B", "a size, e.g. '8GB'"))]


class Section(BaseModel):
    """A frozen section: no unknown key, no conversion of types, no NaN and no infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    def part(self, path: str) -> Any:
        """Give one section or value below this one by its dotted path, as plain JSON types.

        Parameters
        ----------
        path
            E.g. ``"equity.universe"``. A table below ``equity.tables`` without an entry is an empty section.

        Raises
        ------
        InputError
            When there is no such section; the message suggests the nearest one.
        """
        tree = value = self.model_dump(mode="json")
        above = ""
        for name in path.split("."):
            if above == "tables":
                value = value.get(name, {})
            elif isinstance(value, dict) and name in value:
                value = value[name]
            else:
                raise InputError(
                    f"There is no section {path!r} in the settings.{nearest(path, all_keys(tree))}"
                )
            above = name
        return value

    def digest(self, *paths: str) -> str:
        """Hash of the resolved values, or of some parts of them, independent of the order of keys.

        Parameters
        ----------
        *paths
            Dotted paths as in :meth:`part`; none means everything.

        Returns
        -------
        str
            Sixteen hexadecimal digits: the head of SHA-256 over canonical JSON.
        """
        tree = {path: self.part(path) for path in paths} or self.model_dump(mode="json")
        text = json.dumps(tree, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class Data(Section):
    """Where the data are."""

    db: Annotated[str, Field(min_length=1)]


class Storage(Section):
    """How the store keeps its tables."""

    keep_snapshots: Positive
    compact_parts: Positive
    vacuum_age_hours: Amount


class Run(Section):
    """Where a run works, and what it may use of a machine."""

    executor: Literal["local", "dask", "ray"]
    scheduler: str
    workers: Positive
    threads: Positive
    memory_limit: Memory
    log: Annotated[str, Field(min_length=1)]


class Download(Section):
    """How the vendor's tables are fetched."""

    base_url: Address
    page_size: Annotated[int, Field(ge=1, le=10_000)]
    timeout: Span
    retries: Count
    max_wait: Duration
    calls_per_10s: Positive
    poll: Span
    export_wait: Duration
    overlap: Count
    resume_within: Duration


class Ingest(Section):
    """Loading the vendor's files."""

    max_unpacked: Positive


class Listing(Section):
    """When a ticker has ended."""

    max_gap: Positive


class Windows(Section):
    """Rules that every rolling window shares."""

    coverage: Share


class Universe(Section):
    """Which names are members, and when."""

    mode: Literal["point_in_time", "option_b", "file"]
    min_adv: Amount
    min_price: Amount
    adv_window: Positive
    adv_min_obs: Positive
    min_size: Amount
    exchanges: Texts
    category: str
    scales: Texts
    file: str

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.adv_min_obs > self.adv_window:
            raise ValueError(f"adv_min_obs = {self.adv_min_obs} exceeds adv_window = {self.adv_window}")
        if self.mode == "file" and not self.file:
            raise ValueError("mode = 'file' needs the list in equity.universe.file")
        return self


class Delisting(Section):
    """What a holder gets when a ticker ends, as a return on its last price."""

    unknown: Annotated[float, Field(ge=-1)]
    actions: dict[str, Annotated[float, Field(ge=-1)]]


class Columns(Section):
    """Columns (``table.column``) that the backtest engine reads beside the signal."""

    adv: Column
    volatility: Column
    beta: Column
    sizing: Column


class Costs(Section):
    """Trading and financing costs."""

    half_spread: Amount
    impact: Amount
    participation: Rate
    borrow: Amount
    financing_rate: Amount
    cash_rate: float

    def scaled(self, factor: float) -> Self:
        """Trading and borrowing at a multiple of the cost; what volume allows, and interest, stay."""
        dear = {key: getattr(self, key) * factor for key in ("half_spread", "impact", "borrow")}
        return self.model_copy(update=dear)


class Volatility(Section):
    """How the volatility of a book is estimated when it has a target."""

    estimate: Literal["trailing", "full_sample"]
    window: Annotated[int, Field(ge=2)]
    min_obs: Annotated[int, Field(ge=2)]
    max_leverage: Annotated[float, Field(gt=0)]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.min_obs > self.window:
            raise ValueError(f"min_obs = {self.min_obs} exceeds window = {self.window}")
        return self


class Manual(Section):
    """Parts of the manual's accounting that look ahead or hide what a book does, one by one."""

    missing_target: bool
    per_rebalance: bool


class Backtest(Section):
    """The engine that every strategy shares."""

    start: OptionalDate
    end: OptionalDate
    out_of_sample_from: OptionalDate
    rebalance_every: Positive
    lag: Count
    order_wait: Count
    capital: Annotated[float, Field(gt=0)]
    benchmark: Literal["equal", "cap"]
    compat_manual: bool
    manual: Manual
    columns: Columns
    costs: Costs
    volatility: Volatility

    @property
    def scales_by_all(self) -> bool:
        """Whether a volatility target goes by the whole sample, which looks ahead; by rebalances it does."""
        return self.volatility.estimate == "full_sample" or self.manual.per_rebalance

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.start and self.end and self.start > self.end:
            raise ValueError(f"start = {self.start} is after end = {self.end}")
        return self


class Optimise(Section):
    """The optimised book: one horizon for return, risk and cost."""

    ic: Share
    ic_window: Count
    holding_period: Positive
    risk_aversion: Limit
    cost: Literal["power", "linear"]
    covariance: Literal["shrunk", "ledoit_wolf", "factor", "exponential"]
    window: Annotated[int, Field(ge=20)]
    shrinkage: Rate
    factors: Positive
    half_life: Positive


class Mix(Section):
    """A book made of the scaled books of other strategies, by the market's regime."""

    strategies: Texts
    weights: dict[str, Annotated[tuple[Amount, ...], BeforeValidator(_sequence)]]
    confirm: Count

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for regime, weights in self.weights.items():
            if self.strategies and len(weights) != len(self.strategies):
                raise ValueError(
                    f"weights.{regime} has {len(weights)} numbers for {len(self.strategies)} strategies"
                )
        return self


class StrategyDefaults(Section):
    """The steps of a strategy: filter, select, score, limit, trade, scale."""

    require: Annotated[tuple[Literal["sector", "sizing", "adv", "beta"], ...], BeforeValidator(_sequence)]
    min_adv: Amount
    top_n: Count
    bottom_n: Count
    rank_by: Literal["alpha", "alpha_z"]
    score: Literal["equal", "alpha_z", "alpha_z_over_vol"]
    book: Literal["scored", "nearest", "optimised"]
    refresh: Share
    vanish: Amount
    max_name: Limit
    max_sector: Limit
    max_sector_net: Limit
    max_beta: Limit
    max_exposures: dict[Column, Amount]
    turnover: Limit
    allow_cash: bool
    optimise: Optimise
    target_vol: Amount
    regimes: Texts
    mix: Mix


class Strategy(StrategyDefaults):
    """One strategy, resolved: its own keys over its bases over the defaults, and the engine it runs on."""

    name: str
    backtest: Backtest

    @property
    def neutral(self) -> bool:
        """Whether longs and shorts stand against each other, so that it is judged against cash."""
        return self.bottom_n > 0

    @property
    def needs(self) -> tuple[str, ...]:
        """What must be known of a name: what is required, and what its score and limits are made of."""
        found = list(self.require)
        if self.max_sector is not None or self.max_sector_net is not None:
            found.append("sector")
        if self.score == "alpha_z_over_vol":
            found.append("sizing")
        if self.max_beta is not None:
            found.append("beta")
        return tuple(dict.fromkeys([*found, *self.max_exposures]))

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.book == "optimised" and not (self.top_n and self.bottom_n):
            raise ValueError("book = 'optimised' needs candidates on both sides: set top_n and bottom_n")
        limits = ("max_name", "max_sector", "max_sector_net", "max_beta", "max_exposures", "turnover")
        limited = [key for key in limits if getattr(self, key) not in (None, {})]
        if self.mix.strategies:
            others = ("require", "min_adv", "bottom_n", "allow_cash")
            idle = [*limited, *(key for key in others if getattr(self, key))]
            plain = {"book": "scored", "score": "equal", "refresh": 1.0}
            idle += [key for key, value in plain.items() if getattr(self, key) != value]
            if idle:
                raise ValueError(
                    f"{idle[0]} has no effect on a mix, which holds what its parts decide: "
                    f"set it in the entries of {', '.join(self.mix.strategies)}"
                )
        if self.book == "optimised" and self.optimise.risk_aversion == 0.0:
            raise ValueError("optimise.risk_aversion must be above 0; the empty text aims at target_vol")
        if self.book == "optimised" and self.optimise.risk_aversion is None and not self.target_vol:
            raise ValueError("book = 'optimised' needs a target_vol to aim at, or optimise.risk_aversion")
        if self.book == "scored" and limited:
            raise ValueError(
                f"{limited[0]} is set, but book = 'scored' keeps no limit: use 'nearest' or 'optimised'"
            )
        return self


def _component(value: object) -> object:
    """Read anything but a table as the weight of a component."""
    return value if isinstance(value, Mapping | BaseModel) else {"weight": value}


def _standard(value: object) -> object:
    """Read ``true`` as z and ``false`` as none."""
    return {True: "z", False: "none"}[value] if isinstance(value, bool) else value


class ComponentDefaults(Section):
    """How a column enters a composite."""

    weight: Annotated[
        float, BeforeValidator(lambda value: float(value) if isinstance(value, int) else value)
    ] = 1.0
    sign: Literal[-1, 1] = 1
    name: str = ""


Component = Annotated[ComponentDefaults, BeforeValidator(_component)]


class IcWeights(Section):
    """Weights by past information coefficients."""

    horizon: Positive
    lag: Count
    min_dates: Positive
    signed: bool


class CompositeDefaults(Section):
    """How components become an alpha."""

    table: str
    components: dict[str, Component]
    legs: Literal["z", "z3", "raw"]
    standardise: Annotated[Literal["z", "z3", "none"], BeforeValidator(_standard)]
    missing: Literal["skip", "neutral"]
    min_components: Count
    smooth: Annotated[float, Field(ge=0, lt=1)]
    weights: Literal["fixed", "ic"]
    ic: IcWeights
    regimes: dict[str, Annotated[tuple[float, ...], BeforeValidator(_sequence)]]
    exposure: dict[str, float]
    fallback: dict[str, Component]


class Composite(CompositeDefaults):
    """One composite, resolved: its own keys over the defaults."""

    name: str


class Matrix(Section):
    """The feature matrix."""

    owners: dict[str, str]


class Signals(Section):
    """How a signal is evaluated."""

    horizon: Positive
    lag: Count
    horizons: Annotated[tuple[Positive, ...], BeforeValidator(_sequence), Field(min_length=1)]
    groups: Annotated[int, Field(ge=2)]
    min_names: Annotated[int, Field(ge=2)]
    neutralise: Annotated[tuple[Literal["sector", "size", "beta"], ...], BeforeValidator(_sequence)]
    size_column: Column
    beta_column: Column


class Live(Section):
    """Scores and picks of a day."""

    min_names: Positive
    min_std: Amount
    lot: Positive
    min_trade: Amount


class Equity(Section):
    """Equity factor research."""

    download: Download
    ingest: Ingest
    listing: Listing
    windows: Windows
    universe: Universe
    tables: dict[str, dict[str, Any]]
    delisting: Delisting
    backtest: Backtest
    strategy_defaults: StrategyDefaults
    strategies: dict[str, dict[str, Any]]
    composite_defaults: CompositeDefaults
    composites: dict[str, dict[str, Any]]
    matrix: Matrix
    signals: Signals
    live: Live

    def base_of(self, name: str) -> str:
        """Name of the entry that a strategy inherits, or the empty text.

        Raises
        ------
        InputError
            When the strategy or its base does not exist.
        """
        if name not in self.strategies:
            raise InputError(f"There is no strategy {name!r}.{self._instead_of(name)}")
        base = self.strategies[name].get("base", "")
        if base and base not in self.strategies:
            known = self._instead_of(str(base))
            raise InputError(f"equity.strategies.{name}.base = {base!r}: there is no such strategy.{known}")
        return str(base)

    def lineage(self, name: str) -> tuple[str, ...]:
        """Names of a strategy and its bases, nearest first.

        Raises
        ------
        InputError
            When the strategy or a base does not exist, or the bases form a circle.
        """
        line = [name]
        while base := self.base_of(line[-1]):
            if base in line:
                circle = " → ".join([*line, base])
                raise InputError(f"equity.strategies.{name}.base: the bases form a circle ({circle}).")
            line.append(base)
        return tuple(line)

    def strategy(self, name: str) -> Strategy:
        """Resolve a strategy: ``strategy_defaults`` and ``backtest`` < its bases < its own entry.

        Raises
        ------
        InputError
            When the strategy or a base does not exist, or the bases form a circle.

        Examples
        --------
        >>> from kairos.settings import load
        >>> risk1 = load(overrides=["equity.strategies.risk1.lag=0"]).equity.strategy("risk1")
        >>> risk1.top_n, risk1.target_vol, risk1.backtest.lag, risk1.backtest.rebalance_every
        (75, 0.2, 0, 5)
        """
        entry: dict[str, Any] = {}
        for ancestor in reversed(self.lineage(name)):
            entry = merged(entry, self.strategies[ancestor])
        entry.pop("base", None)
        engine = {key: entry.pop(key) for key in tuple(entry) if key in Backtest.model_fields}
        rules = StrategyDefaults.model_validate(merged(self.strategy_defaults.model_dump(), entry))
        backtest = Backtest.model_validate(merged(self.backtest.model_dump(), engine))
        return Strategy(name=name, backtest=backtest, **rules.model_dump())

    def composite(self, name: str) -> Composite:
        """Resolve a composite: ``composite_defaults`` < its own entry; its table is ``feat_…`` by default.

        Examples
        --------
        >>> from kairos.settings import load
        >>> load().equity.composite("alpha_composite_v7").table
        'feat_composite_v7'
        """
        entry = merged(self.composite_defaults.model_dump(), self.composites[name])
        entry["table"] = entry["table"] or f"feat_{name.removeprefix('alpha_')}"
        return Composite.model_validate({"name": name, **entry})

    def _instead_of(self, name: str) -> str:
        names = sorted(self.strategies)
        return nearest(name, names) or f" There are: {', '.join(names)}."


class BarLabel(Section):
    """How each source stamps its minute bars."""

    us: Stamp
    futures: Stamp
    fx: Stamp
    adr_quotes: Stamp


class MaxAge(Section):
    """How old a price of each source may be."""

    us: Duration
    futures: Duration
    fx: Duration
    adr_quotes: Duration


class IndexReturns(Section):
    """Where the index returns of the ADR desk come from."""

    source: Literal["auto", "file"]
    tolerance: Duration


class IndexBetas(Section):
    """Betas of the ordinaries on their indices."""

    known: Literal["before", "after"]
    window_days: Positive
    min_pairs: Annotated[int, Field(ge=3)]
    max_age: Count


class UsBetas(Section):
    """Betas of the US stocks on the indices."""

    window: Positive
    min_pairs: Annotated[int, Field(ge=2)]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.min_pairs > self.window:
            raise ValueError(f"min_pairs = {self.min_pairs} exceeds window = {self.window}")
        return self


class DayGrid(Section):
    """Which days of an exchange count."""

    min_share: Share
    window: Positive


class Features(Section):
    """What the models see."""

    exclude: Annotated[dict[str, Texts], Field()]
    suspicious: Share


class WalkForward(Section):
    """Walk-forward windows."""

    train_months: Positive
    validation_months: Positive
    min_train: Annotated[int, Field(ge=2)]
    min_validation: Annotated[int, Field(ge=2)]
    min_present: Rate


class Strengths(Section):
    """The grid of a model's strength."""

    logspace: Annotated[tuple[float, float, int], BeforeValidator(_logspace)]


class Model(Section):
    """The model of the residuals."""

    name: Annotated[str, Field(min_length=1)]
    selection: Literal[
        "mse_1se", "ic", "ic_total", "mse", "past_oos", "fourth", "seven_slope", "shrunk_slope"
    ]
    parameters: dict[str, Any]
    alphas: Strengths


class Evaluation(Section):
    """How models are evaluated."""

    min_days: Annotated[int, Field(ge=3)]
    block: Annotated[float, Field(ge=1)]
    draws: Annotated[int, Field(ge=100)]
    level: Annotated[float, Field(gt=0, lt=1)]
    seed: Count


class Gate(Section):
    """Which ADRs use the model."""

    min_improvement: float
    mode: Literal["full_sample", "expanding"]
    min_months: Positive


class Baseline(Section):
    """Where the futures-only signal comes from."""

    source: Literal["build", "user"]


class Signal(Section):
    """The minute signal."""

    currency_leg: Literal["local_future", "usd_future"]
    anchor: Literal["mid_at_c", "median_5min"]
    min_coverage: Share
    max_premium: Annotated[float, Field(gt=0)]
    calibration: Literal["none", "past"]
    min_calibration: Positive


class SignalEvaluation(Section):
    """How the minute signal is evaluated."""

    entries: Annotated[tuple[ClockTime, ...], BeforeValidator(_sequence), Field(min_length=1)]
    max_spread: Annotated[float, Field(gt=0)]
    max_age: Span
    level: Annotated[float, Field(gt=0, lt=1)]


class Adr(Section):
    """The ADR desk."""

    start: OptionalDate
    end: OptionalDate
    exchanges: Annotated[Texts, Field(min_length=1)]
    bar_label: BarLabel
    max_age: MaxAge
    multipliers: dict[str, Multiplier]
    index: IndexReturns
    betas: IndexBetas
    us_betas: UsBetas
    grid: DayGrid
    features: Features
    windows: WalkForward
    model: Model
    evaluation: Evaluation
    gate: Gate
    baseline: Baseline
    signal: Signal
    signal_evaluation: SignalEvaluation

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.start and self.end and self.start > self.end:
            raise ValueError(f"start = {self.start} is after end = {self.end}")
        return self


class Settings(Section):
    """The whole tree. Made by :func:`kairos.settings.load`."""

    data: Data
    store: Storage
    run: Run
    equity: Equity
    adr: Adr


def merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one tree over another: tables are joined key by key, everything else is replaced.

    >>> merged({"a": {"x": 1, "y": 2}, "b": [1]}, {"a": {"y": 3}, "b": [4]})
    {'a': {'x': 1, 'y': 3}, 'b': [4]}
    """
    result = dict(under)
    for key, value in over.items():
        below = result.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            value = merged(below, value)
        result[key] = value
    return result


def all_keys(tree: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Every dotted key of a tree, sections included.

    >>> all_keys({"a": {"b": 1}, "c": 2})
    ['a', 'a.b', 'c']
    """
    keys: list[str] = []
    for name, value in tree.items():
        keys.append(prefix + name)
        if isinstance(value, Mapping):
            keys.extend(all_keys(value, f"{prefix}{name}."))
    return keys


def nearest(key: str, keys: list[str]) -> str:
    """Suggest the known key that looks most like an unknown one, as the end of a message."""
    close = difflib.get_close_matches(key, keys, n=1, cutoff=0.6)
    return f" Did you mean {close[0]}?" if close else ""
