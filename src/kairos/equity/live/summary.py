"""`portfolio_summary.json`: the book of a day in one mapping."""

from __future__ import annotations

import datetime as dt
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from kairos.equity.backtest.inputs import REGIMES
from kairos.equity.backtest.market import settled_rows
from kairos.equity.columns import looks_ahead, warnings_of
from kairos.equity.context import PRICES
from kairos.equity.live.day import stale
from kairos.equity.live.ticket import over_many
from kairos.store.version import code_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kairos.equity.backtest.costs import Vector
    from kairos.equity.backtest.simulate import Simulation
    from kairos.equity.live.day import Day, Reach
    from kairos.equity.live.decision import Request
    from kairos.equity.live.schedule import Schedule
    from kairos.equity.live.ticket import Ticket
    from kairos.settings import Strategy


ROUNDED = 1e-3
"""Of what a session may trade: lots that exceed it by less don't take another one."""


def summary(
    request: Request,
    run: Simulation,
    day: Day,
    made: Ticket,
    age: Vector,
    dropped: Mapping[str, str],
    reach: Iterable[Reach],
    plan: Schedule,
) -> dict[str, Any]:
    """Everything about a day's book that is not in the two tables; plain values only.

    Parameters
    ----------
    age : (N,)
        Sessions since the last price of each listing.
    dropped : mapping
        Held names that were sold because something is unknown of them, and what.
    """
    strategy, decision = request.strategy, run.decided[-1]
    reach, splits = list(reach), _splits(request, day)
    found = {
        "date": day.date,
        "fill": plan.fill,
        "strategy": strategy.name,
        "alpha": request.alpha,
        "lower_is_better": request.lower_is_better,
        "snapshot": day.context.snapshot.id,
        "namespace": day.context.namespace,
        "prices": day.context.table(PRICES).fingerprint,
        "code_version": code_version(),
        "capital": made.capital,
        "scale": decision.scale,
        "regime": day.regime(),
        "filtered_names": len(decision.eligible),
        "positions": _exposure(made.weight),
        "sectors": _sectors(made),
        "limits": _limits(run),
        "relaxed": [
            {"kind": r.kind, "limit_of": r.label, "limit": r.limit, "relaxed_to": r.relaxed}
            for r in decision.book.relaxed
        ],
        "rounded": _rounded(strategy, made),
        "parts": _parts(request, run),
        "cash": _cash(request, made),
        "trading": _trading(made),
        "slow": _slow(request, made),
        "prior": _prior(request, splits, dropped),
        "hard_to_borrow": day.panels.frame.tickers[request.barred].tolist(),
        "hard_to_borrow_unknown": list(request.strangers),
        "without_price_today": {
            str(made.ticker[i]): {"sessions_old": age[made.names[i]]}
            for i in np.flatnonzero(age[made.names] != 0.0)
        },
        "data": [vars(table) for table in reach],
        "schedule": {
            "every": strategy.backtest.rebalance_every,
            "lag": strategy.backtest.lag,
            "on_calendar": plan.regular,
            "next": [{"decision": decided, "fill": filled} for decided, filled in plan.following],
        },
        "notes": [*_notes(request, day, splits, reach, plan), *_ending(day, made)],
        "configuration": strategy.model_dump(mode="json"),
    }
    plain: dict[str, Any] = _plain(found)
    return plain


def _exposure(weight: Vector) -> dict[str, Any]:
    return {
        "count": int((weight != 0.0).sum()),
        "long": int((weight > 0.0).sum()),
        "short": int((weight < 0.0).sum()),
        "gross": np.abs(weight).sum(),
        "net": weight.sum(),
    }


def _sectors(made: Ticket) -> dict[str, Any]:
    labels, code = np.unique(made.sector.astype(str), return_inverse=True)
    net, gross = np.bincount(code, made.weight), np.bincount(code, np.abs(made.weight))
    return {
        label: {"net": n, "gross": g}
        for label, n, g in zip(labels.tolist(), net.tolist(), gross.tolist(), strict=True)
        if g
    }


def _limits(run: Simulation) -> list[dict[str, Any]]:
    """How close the raw book is to each limit."""
    return [
        {"kind": u.kind, "limit_of": u.label, "value": u.value, "limit": u.limit, "room": u.slack,
         "binding": u.binding}
        for u in run.decided[-1].book.usage
    ]  # fmt: skip


def _rounded(strategy: Strategy, made: Ticket) -> list[dict[str, Any]]:
    """What whole lots make of the limits: of the raw book as decided, and as traded."""
    exact, traded = (np.nan_to_num(shares * made.unit) for shares in (made.target, made.after))
    held = np.nan_to_num(made.current * made.unit)
    found: list[tuple[Any, ...]] = []
    if strategy.max_name is not None:
        largest = (np.abs(book).max(initial=0.0) for book in (exact, traded))
        found.append(("name", "weight of a name", strategy.max_name, *largest))
    if strategy.turnover is not None:
        moved = (np.abs(book - held).sum() for book in (exact, traded))
        found.append(("turnover", "turnover", strategy.turnover, *moved))
    sums = (over_many(made.rules, book) for book in (exact, traded))
    found += [(r.kind, r.label, r.high, *both) for r, *both in zip(made.rules, *sums, strict=True)]
    keys = ("kind", "limit_of", "limit", "decided", "traded")
    return [dict(zip(keys, row, strict=True)) for row in found]


def _parts(request: Request, run: Simulation) -> list[dict[str, Any]]:
    """What a mix is made of."""
    if not run.parts:
        return []
    regime = run.signals.regime_in_force(run.decided[-1].row, request.strategy.mix.confirm)
    shares = request.strategy.mix.weights[regime]
    return [
        {
            "strategy": part.strategy.name,
            "share": share,
            "regime_in_force": regime,
            "scale": part.decided[-1].scale if part.decided else None,
            "limits": _limits(part) if part.decided else [],
        }
        for part, share in zip(run.parts, shares, strict=True)
    ]


def _cash(request: Request, made: Ticket) -> dict[str, Any]:
    """USD before the trades, after them, and what the decided weights leave."""
    worth = float(np.nansum(made.current * made.price))
    told = None if request.prior is None else request.prior.cash
    before = made.capital - worth if told is None else told
    spent = float(np.nansum(made.trade * made.price))
    costs = float(np.nansum(made.cost))
    return {
        "before": before,
        "known": told is not None,
        "spent": spent,
        "costs": costs,
        "after": before - spent - costs,
        "decided": made.capital * (1.0 - made.weight.sum()),
    }


def _trading(made: Ticket) -> dict[str, Any]:
    value = np.abs(np.nan_to_num(made.trade * made.price))
    left = np.abs(np.nan_to_num((made.target - made.after) * made.price))
    unknown = np.isnan(made.cost) & (value > 0.0)
    return {
        "trades": int((value > 0.0).sum()),
        "value": value.sum(),
        "turnover": value.sum() / made.capital,
        "estimated_cost": float(np.nansum(made.cost)),
        "cost_unknown": made.ticker[unknown].tolist(),
        "left_by_lots": left.sum(),
    }


def _slow(request: Request, made: Ticket) -> list[dict[str, Any]]:
    """Trades larger than a session's share of the volume, and how many sessions they take."""
    share = request.strategy.backtest.costs.participation
    if not share:
        return []
    value = np.abs(np.nan_to_num(made.trade * made.price))
    part = np.divide(value, made.adv, out=np.zeros(len(value)), where=made.adv > 0.0)
    return [
        {"ticker": made.ticker[i], "share_of_adv": part[i], "sessions": math.ceil(part[i] / share - ROUNDED)}
        for i in np.flatnonzero(part > share * (1.0 + ROUNDED))
    ]


def _prior(
    request: Request, splits: Mapping[str, float], dropped: Mapping[str, str]
) -> dict[str, Any] | None:
    if request.prior is None:
        return None
    mix = bool(request.strategy.mix.strategies)
    return {
        "positions": len(request.prior.names),
        "decided_on": "simulated books of the parts" if mix else "prior",
        "paid_out": [vars(holding) for holding in request.prior.paid_out],
        "sold_because_unknown": dict(dropped),
        "splits": splits,
    }


def _ending(day: Day, made: Ticket) -> list[str]:
    """What is to be traded and has come to the end of its listing by the day: no order of it will fill."""
    settled = settled_rows(day.panels.frame, day.panels.outcomes)[made.names]
    ending = made.ticker[(made.trade != 0.0) & (settled <= day.row + 1)].tolist()
    if not ending:
        return []
    return [f"{', '.join(ending)}: the end of the listing is known on {day.date}, orders won't fill"]


def _splits(request: Request, day: Day) -> dict[str, float]:
    """Shares that a share of what is really held has become since the decision before."""
    if request.prior is None:
        return {}
    names = request.prior.names
    became = day.splits(request.strategy.backtest.rebalance_every)[names]
    return {
        str(day.panels.frame.tickers[names[i]]): became[i] for i in np.flatnonzero(became != 1.0).tolist()
    }


def _notes(
    request: Request, day: Day, splits: Mapping[str, float], reach: Iterable[Reach], plan: Schedule
) -> list[str]:
    strategy, context = request.strategy, day.context
    found = list(warnings_of(context, request.alpha))
    if strategy.regimes or strategy.mix.strategies:
        found += looks_ahead(context, REGIMES)
    if not plan.regular:
        found.append(
            f"{day.date} is no decision date of the calendar; the backtest decides next on "
            f"{plan.following[0][0]}"
        )
    if strategy.backtest.lag == 0:
        found.append("lag = 0: the backtest trades at the close that it decides on, which nobody can")
    if request.prior is not None and strategy.mix.strategies:
        found.append(
            "a mix is decided on the simulated books of its parts, as no one can tell which part of a real "
            "book is whose; the trades are those from the real book"
        )
    found += [
        f"{ticker} was split, {shares:g} shares for one, since the decision before: the holdings must count "
        f"the shares of {day.date}"
        for ticker, shares in splits.items()
    ]
    if len(request.barred):
        found.append("what is hard to borrow is no candidate for a short, so the backtest may differ")
    if request.strangers:
        some = ", ".join(request.strangers[:5]) + (", …" if len(request.strangers) > 5 else "")
        found.append(
            f"hard to borrow: {len(request.strangers)} tickers are in no table up to {day.date} ({some}); "
            "tickers are written as in the prices"
        )
    return list(dict.fromkeys([*found, *stale(reach)]))


def _plain(value: Any) -> Any:
    """Values as JSON has them: no NaN, no dates, no NumPy."""
    if isinstance(value, dict):
        return {str(key): _plain(inside) for key, inside in value.items()}
    if isinstance(value, list):
        return [_plain(inside) for inside in value]
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
