"""The equity tables by definition: one listing after the other, one date after the other, in plain NumPy."""

import bisect
import datetime as dt
import itertools
import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view

GAP = 10
PAYOUT = {
    "bankruptcyliquidation": -0.30,
    "regulatorydelisting": -0.30,
    "acquisitionby": 0.0,
    "mergerfrom": 0.0,
    "voluntarydelisting": 0.0,
    "delisted": 0.0,
}
"""The vendor's words for the end of a security (`mergerto` names the survivor), and what a holder loses."""

FIELDS = ("open", "high", "low", "close", "volume", "closeadj", "closeunadj")


@dataclass
class Listing:
    """One company under one ticker, with arrays over all sessions of the market (NaN = missing)."""

    ticker: str
    number: int
    first: int
    last: int
    ended: bool
    reason: str | None
    payout: float
    values: dict[str, np.ndarray]
    marketcap: np.ndarray | None = None

    def __getitem__(self, field):
        return self.values[field]


def read_vendor(folder):
    """The vendor's CSV files as frames; an absent table is absent."""
    found = {}
    dated = {
        "SF1": ("datekey", "reportperiod", "calendardate", "lastupdated"),
        "SF2": ("filingdate", "transactiondate"),
        "SF3": ("calendardate",),
    }
    for name in ("SEP", "TICKERS", "DAILY", "ACTIONS", "SF1", "SF2", "SF3"):
        path = folder / f"SHARADAR_{name}.csv"
        if path.exists():
            frame = pd.read_csv(path, keep_default_na=False, na_values=[""])
            for column in dated.get(name, ("date", "firstpricedate")):
                if column in frame:
                    frame[column] = [
                        dt.date.fromisoformat(d) if isinstance(d, str) else None for d in frame[column]
                    ]
            found[name.lower()] = frame
    return found


def calendar(vendor):
    return sorted(set(vendor["sep"]["date"]))


def listings(vendor):
    """Cut every ticker at a gap of ten sessions without a price, and where the vendor says that it ended."""
    sessions = calendar(vendor)
    at = {date: i for i, date in enumerate(sessions)}
    actions = vendor.get("actions")
    found: list[Listing] = []
    for ticker, rows in vendor["sep"].sort_values(["ticker", "date"]).groupby("ticker"):
        priced = [at[d] for d in rows["date"]]
        columns = {field: rows[field].to_numpy(float) for field in FIELDS}
        said = []
        if actions is not None:
            for row in actions[actions["ticker"] == ticker].itertuples():
                if row.action in PAYOUT:
                    said.append((bisect.bisect_right(sessions, row.date) - 1, row.action))
        runs = [[priced[0]]]
        for earlier, now in itertools.pairwise(priced):
            missing = now - earlier - 1
            if missing >= GAP or any(earlier <= session < now for session, _ in said):
                runs.append([])
            runs[-1].append(now)
        for i, run in enumerate(runs):
            until = runs[i + 1][0] if i + 1 < len(runs) else len(sessions)
            words = [word for session, word in said if run[-1] <= session < until]
            ended = i + 1 < len(runs) or bool(words) or len(sessions) - 1 - run[-1] >= GAP
            told = [word for word in PAYOUT if word in words and word != "delisted"]
            reason = told[0] if told else "unknown"  # `delisted` alone names no reason
            values = {field: np.full(len(sessions), np.nan) for field in FIELDS}
            place = priced.index(run[0])
            for field in FIELDS:
                values[field][run] = columns[field][place : place + len(run)]
            found.append(Listing(
                str(ticker), i + 1, run[0], run[-1], ended, reason if ended else None,
                PAYOUT.get(reason, 0.0) if ended else math.nan, values,
            ))  # fmt: skip
    if "daily" in vendor:
        daily = vendor["daily"]
        caps = dict(zip(zip(daily["ticker"], daily["date"], strict=True), daily["marketcap"], strict=True))
        for one in found:
            one.marketcap = np.array([caps.get((one.ticker, date), np.nan) for date in sessions], float)
            one.marketcap[: one.first] = np.nan
            one.marketcap[one.last + 1 :] = np.nan
    return found


def need(n):
    """80 % of n, rounded up, in whole numbers."""
    return -(-4 * n // 5)


def rolling(statistic, x, n, first, least=None):
    """Statistic of the last n sessions: listed for n of them, 80 % present, or `least` present."""
    padded = np.concatenate([np.full(n - 1, np.nan), x])
    windows = sliding_window_view(padded, n)
    age = np.arange(len(x)) - first + 1
    valid = np.isfinite(windows).sum(axis=1) >= (need(n) if least is None else least)
    if least is None:
        valid &= age >= n
    out = np.full(len(x), np.nan)
    if valid.any():
        out[valid] = statistic(windows[valid])
    return out


def mean(w):
    return np.nanmean(w, axis=1)


def highest(w):
    return np.nanmax(w, axis=1)


def std(w):
    spread = np.nanstd(w, axis=1, ddof=1)
    return np.where(np.nanmax(w, axis=1) == np.nanmin(w, axis=1), 0.0, spread)


def _central(w, k):
    return np.nanmean((w - np.nanmean(w, axis=1, keepdims=True)) ** k, axis=1)


def skew(w):
    n = np.isfinite(w).sum(axis=1)
    with np.errstate(all="ignore"):
        g = np.sqrt(n * (n - 1)) / (n - 2) * _central(w, 3) / _central(w, 2) ** 1.5
    return np.where(std(w) == 0, np.nan, g)


def kurt(w):
    n = np.isfinite(w).sum(axis=1)
    with np.errstate(all="ignore"):
        g = (n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * _central(w, 4) / _central(w, 2) ** 2 - 3 * (n - 1))
    return np.where(std(w) == 0, np.nan, g)


def drawdown(w):
    return np.nanmin(w / np.fmax.accumulate(w, axis=1) - 1, axis=1)


def pairs(statistic, y, x, n, first):
    """As `rolling`, of the sessions on which both exist."""
    both = np.isfinite(y) & np.isfinite(x)
    ys, xs = (
        sliding_window_view(np.concatenate([np.full(n - 1, np.nan), np.where(both, a, np.nan)]), n)
        for a in (y, x)
    )
    age = np.arange(len(y)) - first + 1
    valid = (np.isfinite(ys).sum(axis=1) >= need(n)) & (age >= n)
    out = np.full(len(y), np.nan)
    if valid.any():
        out[valid] = statistic(ys[valid], xs[valid])
    return out


def beta(ys, xs):
    dy, dx = (w - np.nanmean(w, axis=1, keepdims=True) for w in (ys, xs))
    with np.errstate(all="ignore"):
        return np.nansum(dy * dx, axis=1) / np.nansum(dx * dx, axis=1)


def residual(ys, xs):
    return std(ys - beta(ys, xs)[:, None] * xs)


def before(x, k=1):
    return np.concatenate([np.full(k, np.nan), x[: len(x) - k]])


def latest(x, within=GAP):
    """The last value at most `within` sessions old."""
    out, seen = np.full(len(x), np.nan), -within - 1
    for t, value in enumerate(x):
        if np.isfinite(value):
            seen = t
        if t - seen <= within:
            out[t] = x[seen]
    return out


def divide(a, b):
    with np.errstate(all="ignore"):
        q = a / b
    return np.where(np.isfinite(q), q, np.nan)


def change(p, k):
    return divide(latest(p), before(latest(p), k)) - 1


def ema(x, span):
    alpha, state, out = 2 / (span + 1), None, np.full(len(x), np.nan)
    for t, value in enumerate(x):
        if np.isfinite(value):
            state = value if state is None else alpha * value + (1 - alpha) * state
            out[t] = state
    return out


def size(one):
    """marketcap(t-1) · c_t / c_{t-1} in USD; where t-1 lacks one of them, the last session that has both."""
    per_close = latest(divide(one.marketcap, one["close"]))
    anchor = before(np.where(np.isfinite(per_close), per_close, np.nan))
    # `latest` reaches 10 sessions back from t-1
    return anchor * one["close"] * 1e6


def flag(condition, *needs):
    known = np.logical_and.reduce([np.isfinite(x) for x in needs])
    return np.where(known, condition.astype(float), np.nan)


def adv(one, n, least=None):
    return rolling(mean, one["close"] * one["volume"], n, one.first, least)


def metadata(vendor):
    """One row a ticker, that of SEP where there is one."""
    rows = vendor["tickers"].assign(other=vendor["tickers"]["table"] != "SEP")
    return rows.sort_values(["ticker", "other", "table"]).groupby("ticker").first()


def eligible(row, category="Domestic Common Stock"):
    exchange = {"NYSEMKT": "AMEX"}.get(row["exchange"], row["exchange"])
    return str(row["category"]).startswith(category) and exchange in {"NYSE", "NASDAQ", "AMEX"}


def point_in_time(vendor, found):
    """Members: for each listing a boolean array over the sessions."""
    sessions, known = calendar(vendor), metadata(vendor)
    members = []
    for one in found:
        member = np.zeros(len(sessions), dtype=bool)
        if one.ticker in known.index and eligible(known.loc[one.ticker]):
            begins = known.loc[one.ticker].get("firstpricedate")
            if begins is None or sessions[one.last] >= begins:
                with np.errstate(invalid="ignore"):
                    member = (adv(one, 60, 40) >= 500_000) & (one["closeunadj"] >= 2.0)
                    if one.marketcap is not None:
                        member &= size(one) >= 300e6
        members.append(member)
    return members


def option_b(vendor, found):
    """The manual's list on the last session: (ticker, adv, close)."""
    known, rows = metadata(vendor), []
    for one in found:
        if one.ticker in known.index and eligible(known.loc[one.ticker]):
            dollars, price = adv(one, 60, 40)[-1], one["closeunadj"][-1]
            scale = str(known.loc[one.ticker]["scalemarketcap"])[:1]
            if dollars >= 500_000 and price >= 2.0 and scale in "3456":
                rows.append((one.ticker, dollars, price))
    return rows


def zscores(columns, members):
    """z over the members of each date."""
    x, m = np.array(columns), np.array(members)
    out = np.full(x.shape, np.nan)
    for t in range(x.shape[1]):
        who = m[:, t] & np.isfinite(x[:, t])
        values = x[who, t]
        spread = values.std(ddof=1) if len(values) > 1 and values.max() > values.min() else 0.0
        out[who, t] = (values - values.mean()) / spread if spread > 0 else 0.0
    return out


def logarithm(x):
    with np.errstate(all="ignore"):
        return np.where(x > 0, np.log(x), np.nan)


def market_return(found, members):
    """Mean return of each session over the members of the session before."""
    r = np.array([divide(one["closeadj"], before(one["closeadj"])) - 1 for one in found])
    out = np.full(r.shape[1], np.nan)
    for t in range(1, r.shape[1]):
        values = r[np.array(members)[:, t - 1], t]
        if np.isfinite(values).any():
            out[t] = np.nanmean(values)
    return out


def forward(one, h):
    """What a holder of the close of t has at the close of t + h, less 1."""
    p, T = one["closeadj"], len(one["closeadj"])
    price, out = latest(p), np.full(T, np.nan)
    for t in range(one.first, min(one.last, T - 1 - h) + 1):
        if np.isfinite(p[t]):
            if one.ended and t + h > one.last:
                out[t] = p[one.last] / p[t] * (1 + one.payout) - 1
            else:
                out[t] = price[t + h] / p[t] - 1
    return out


def features(vendor, found, members):
    """Every ``feat_*`` table: name to column to (listings, sessions)."""
    market = market_return(found, members)
    per = [_of_listing(one, market) for one in found]
    tables = {
        table: {c: np.array([p[table][c] for p in per]) for c in columns} for table, columns in per[0].items()
    }
    liquidity = tables["feat_adv"]
    liquidity["adv_z"] = zscores(logarithm(liquidity["adv_20"]), members)
    liquidity["size_z"] = zscores(liquidity["size_raw"], members)
    return tables


def _of_listing(one, market):
    o, h, l, c, v = (one[f] for f in ("open", "high", "low", "close", "volume"))  # noqa: E741
    p, c1 = one["closeadj"], before(one["close"])
    r = divide(p, before(p)) - 1

    def roll(statistic, x, n):
        return rolling(statistic, x, n, one.first)

    dollars = c * v
    true_range = np.maximum(h - l, np.maximum(np.abs(h - c1), np.abs(l - c1)))
    sma = {n: roll(mean, c, n) for n in (5, 21, 50, 200)}
    e12, e26 = ema(c, 12), ema(c, 26)
    signal = ema(e12 - e26, 9)
    zscore = divide(c - sma[21], roll(std, c, 21))
    body, span = np.abs(c - o), h - l
    upper, lower = h - np.maximum(o, c), np.minimum(o, c) - l
    vol21, vol63 = roll(std, r, 21), roll(std, r, 63)
    top = {n: before(roll(highest, h, n)) for n in (20, 55)}
    with np.errstate(invalid="ignore"):
        return {
            "feat_price_action": {
                "ret_1d": r,
                "ret_5d": change(p, 5),
                "ret_21d": change(p, 21),
                "hl_ratio": divide(h, l),
                "co_ratio": divide(c, o),
                "true_range": true_range,
                "range_pct": divide(h - l, o),
                "breakout_20": flag(c > top[20], c, top[20]),
                "breakout_55": flag(c > top[55], c, top[55]),
            },
            "feat_trend": {
                **{f"sma_{n}": x for n, x in sma.items()},
                "ema_12": e12,
                "ema_26": e26,
                "price_vs_sma_21": divide(c - sma[21], sma[21]),
                "sma_21_slope": sma[21] - before(sma[21], 5),
                "sma_50_200_cross": np.sign(sma[50] - sma[200]),
                "macd": e12 - e26,
                "macd_signal": signal,
                "macd_hist": e12 - e26 - signal,
            },
            "feat_stat": {
                "close_zscore_21d": zscore,
                "ret_1d_zscore_21d": divide(r, vol21),
                "vol_21d": vol21,
                "skew_63d": roll(skew, r, 63),
                "kurt_63d": roll(kurt, r, 63),
                "rolling_max_21d": roll(highest, c, 21),
                "max_drawdown_63d": roll(drawdown, p, 63),
                "max_drawdown_252d": roll(drawdown, p, 252),
                "dist_52w_high": divide(c, roll(highest, h, 252)) - 1,
                "mean_reversion_flag": flag(zscore < -2, zscore),
            },
            "feat_price_shape": {
                "body_size": body,
                "upper_wick": upper,
                "lower_wick": lower,
                "candle_range": span,
                "body_pct_of_range": divide(body, span),
                "upper_wick_pct": divide(upper, span),
                "lower_wick_pct": divide(lower, span),
                "gap_open": o - c1,
                "gap_pct": divide(o, c1) - 1,
            },
            "feat_volume_volatility": {
                "dollar_volume": dollars,
                "vol_zscore_21d": divide(v - roll(mean, v, 21), roll(std, v, 21)),
                "volume_pct_change_1d": divide(v, before(v)) - 1,
                "ret_std_5d": roll(std, r, 5),
                "ret_std_21d": vol21,
                "atr_14d": roll(mean, true_range, 14),
                "amihud_21d": roll(mean, divide(np.abs(r), dollars), 21),
            },
            "feat_adv": {
                "dollar_volume": dollars,
                "adv_20": adv(one, 20),
                "adv_60": adv(one, 60, 40),
                "size_raw": logarithm(adv(one, 60, 40) if one.marketcap is None else size(one)),
            },
            "feat_vol_sizing": {"vol_21": vol21, "vol_63": vol63, "vol_blend": 0.5 * vol21 + 0.5 * vol63},
            "feat_beta": {
                **{f"beta_{n}d": pairs(beta, r, market, n, one.first) for n in (21, 63, 252)},
                "resid_vol_63d": pairs(residual, r, market, 63, one.first),
            },
            "feat_targets": {
                **{f"ret_{n}d_f": forward(one, n) for n in (1, 5, 21)},
                "label_5d_up": flag(forward(one, 5) > 0, forward(one, 5)),
            },
        }


def rows(found, sessions, columns):
    """Long form of (listings, sessions) arrays: a row for each price, ordered by year, ticker and date."""
    frames = []
    for i, one in enumerate(found):
        priced = np.flatnonzero(np.isfinite(one["close"]))
        frames.append(pd.DataFrame({
            "ticker": one.ticker,
            "date": [sessions[t] for t in priced],
            **{name: values[i][priced] for name, values in columns.items()},
        }))  # fmt: skip
    found = pd.concat(frames)
    found["year"] = [date.year for date in found["date"]]
    return found.sort_values(["year", "ticker", "date"], ignore_index=True)
