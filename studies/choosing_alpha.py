"""Which rule should choose alpha? A study on real prices, with rules that know the past only.

    python studies/choosing_alpha.py --out FOLDER

`FOLDER/development` becomes the ADR desk's data directory of 29 ordinaries (real prices, 2016 to 2023), on
which rules are tried at will; `development.csv` lists every one that was, the failed ones too. `--names
holdout` makes `FOLDER/holdout`, of the other London and Euro Stoxx names, on which only the frozen rules and
their references run. `--features-only` stops before any model is fitted.

For each ADR and month m the LASSO path is fitted on the eleven months before m−1 and predicts m−1, and is
fitted on the twelve months before m and predicts m, both at the 50 alphas of the settings; that is kept in
`development.npz`. A rule turns the predictions of m−1 and earlier months into weights on the alphas of m. It
is scored by the mean, over ADRs and months with ten days or more, of

    IC(baseline + weights · predictions, ordinary) − IC(baseline, ordinary)

with a t-value over months: one mean over ADRs each month, for ADRs share their months. "Young" starts the
rule's history anew every 13 months, for a desk with two years of data has no more.

The real prices are found as by the tests: in the folder that KAIROS_REAL_DATA names, beside the tools that
write the directory.
"""

from __future__ import annotations

import argparse
import os
import runpy
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import typer
from scipy.optimize import nnls  # type: ignore[import-untyped]

from kairos import executor
from kairos.adr import selection
from kairos.adr.betas import betas
from kairos.adr.desk import ADR_INFO, FEATURES, ORDINARY_CLOSES, TARGETS, US_CLOSES, Desk
from kairos.adr.features import features
from kairos.adr.models import make
from kairos.adr.train import read_sample
from kairos.adr.walkforward import Scaling
from kairos.adr.windows import windows
from kairos.settings import load

Array = np.ndarray[Any, np.dtype[np.float64]]

REAL = Path(os.environ.get("KAIROS_REAL_DATA", Path(__file__).parents[2] / "shared" / "data"))
SPAN = ["adr.start=2016-01-04", "adr.end=2023-05-31"]
CHECKED_FROM = np.datetime64("2020-01")
YOUNG = 13
DAYS = 23


# ---------------------------------------------------------------------------------------------- directories

EXCHANGES = {"L": "XLON", "BR": "XBRU", "AS": "XAMS", "MC": "XMAD", "MI": "XMIL", "HE": "XHEL", "DE": "XETR"}
EXCHANGES |= {"PA": "XPAR", "I": "XDUB"}
SAME_ISSUER = {"LINI.DE": ["LIN"]}
"""US lines of holdout issuers among the US stocks."""


def development(folder: Path) -> Desk:
    """Data directory of the 29 ordinaries that have ADRs."""
    if not (folder / ADR_INFO).exists():
        runpy.run_path(str(REAL.parent / "tools" / "real_adr_desk.py"))["build"](folder, 500)
    return Desk(folder, load(overrides=SPAN))


def holdout(folder: Path) -> Desk:
    """Data directory of all other London and Euro Stoxx names, each with an ADR that doesn't exist.

    Indices, US stocks, currencies and the table of futures are those of the development directory.
    """
    excluded = ", ".join(f'"{of}" = {list(lines)}' for of, lines in SAME_ISSUER.items())
    desk = Desk(folder, load(overrides=[*SPAN, f"adr.features.exclude={{ {excluded} }}"]))
    dublin = desk.path(US_CLOSES) / "XDUB.csv"
    if dublin.exists():
        return desk
    development(folder)
    tool = runpy.run_path(str(REAL.parent / "tools" / "real_adr_desk.py"))
    used = {f"{stem}.L" for stem in tool["LONDON"].values()} | set(tool["EURO"].values())
    closes = (
        duckdb.connect()
        .execute(
            f"""SELECT date, ticker, close::DOUBLE AS close FROM '{REAL}/europe_daily.parquet'
            WHERE date >= '2015-01-01' AND close > 0
            AND (source = 'sx5e_refinitiv' OR source = 'skfolio_ftse100' AND ticker LIKE '%.L')"""
        )
        .df()
    )
    closes = closes[~closes["ticker"].isin(used)]
    closes.pivot_table(index="date", columns="ticker", values="close").to_csv(desk.path(ORDINARY_CLOSES))
    template = pd.read_csv(desk.path(ADR_INFO), dtype=str)
    rows = []
    for ticker in sorted(set(closes["ticker"])):
        exchange = EXCHANGES[ticker.rpartition(".")[2]]
        model = template[template["exchange"] == ("XLON" if exchange == "XLON" else "XAMS")].iloc[0]
        rows.append(
            {**model, "id": ticker, "adr": f"{ticker} US Equity", "name": ticker, "exchange": exchange}
        )
    pd.DataFrame(rows).to_csv(desk.path(ADR_INFO), index=False)
    shutil.copy(desk.path(US_CLOSES) / "XAMS.csv", dublin)
    return desk


# ---------------------------------------------------------------------------------------------- predictions


@dataclass(frozen=True)
class Panel:
    """Predictions of N ADRs in M months at K alphas, the largest first; what doesn't exist is 0.

    Attributes
    ----------
    names : (N,) ; months : (M,) datetime64[M]
        The month m that is predicted at last.
    zero : (N, M, K) bool
        Alphas from alpha_max of the eleven months on.
    scale, level, n : (N, M)
        Root mean square of the residual in the eleven months, alpha_max as a share of it, and rows.
    alphas : (K,)
    seen, target : (N, M, DAYS, K)
        Predicted residuals of m−1 by the eleven months before it, of m by the twelve months before it.
    seen_y, target_y : (3, N, M, DAYS)
        Residual, baseline and return of the ordinary in m−1 and m.
    seen_n, target_n : (N, M)
        Days.
    """

    names: np.ndarray[Any, Any]
    months: np.ndarray[Any, Any]
    alphas: Array
    zero: np.ndarray[Any, Any]
    scale: Array
    level: Array
    n: Array
    seen: Array
    target: Array
    seen_y: Array
    target_y: Array
    seen_n: np.ndarray[Any, Any]
    target_n: np.ndarray[Any, Any]

    def between(self, first: int, last: int) -> Panel:
        """Months first ≤ j < last only."""
        cut: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        for name in ("zero", "scale", "level", "n", "seen", "target", "seen_n", "target_n"):
            cut[name] = cut[name][:, first:last]
        for name in ("seen_y", "target_y"):
            cut[name] = cut[name][:, :, first:last]
        return Panel(**{**cut, "months": self.months[first:last]})

    @property
    def step(self) -> np.ndarray[Any, Any]:
        """Steps below alpha_max, (N, M, K): 0 at and above it."""
        return np.cumsum(~self.zero, axis=2)

    @property
    def there(self) -> np.ndarray[Any, Any]:
        """Windows that exist, (N, M)."""
        return np.asarray(self.seen_n > 0)


def panel(desk: Desk, kept: Path, workers: int) -> Panel:
    """Predictions of all windows; fitted once and kept in a file."""
    if not kept.exists():
        targets = pd.read_parquet(desk.path(TARGETS))
        last = targets["date"].max().to_numpy().astype("datetime64[D]")
        tasks = [(desk, rows, last) for _, rows in targets.groupby("ticker", sort=True)]
        found = executor.run(_one, tasks, workers=workers, name=lambda task: str(task[1]["ticker"].iloc[0]))
        months = np.unique(np.concatenate([one["month"] for one in found]))
        np.savez(kept, months=months, **_together(found, months))
    with np.load(kept) as stored:
        return Panel(**{field.name: stored[field.name] for field in fields(Panel)})


def _one(task: tuple[Desk, pd.DataFrame, np.datetime64]) -> dict[str, Any]:
    """Windows of one ADR."""
    desk, rows, last = task
    settings, ticker, exchange = desk.settings.adr, rows["ticker"].iloc[0], rows["exchange"].iloc[0]
    sample = read_sample(desk.path(f"{FEATURES}/{ticker}.parquet"), rows)
    model = make("lasso", {})
    alphas = model.grid(np.logspace(*settings.model.alphas.logspace))
    first, end = np.datetime64(settings.start, "D"), np.datetime64(settings.end, "D")
    every = []
    for window in windows(first, last, exchange, settings.windows, end):
        train, seen = window.train_rows(sample.dates), window.validation_rows(sample.dates)
        refit, target = window.refit_rows(sample.dates), window.test_rows(sample.dates)
        n = train.stop - train.start
        if (
            window.live
            or n < settings.windows.min_train
            or seen.stop - seen.start < settings.windows.min_validation
        ):
            continue
        one: dict[str, Any] = {"month": window.month, "n": float(n)}
        for what, fitted, predicted in (("seen", train, seen), ("target", refit, target)):
            scaling = Scaling.learn(sample.X[fitted], settings.windows.min_present)
            Z, y = scaling.standardise(sample.X[fitted]), sample.residual[fitted]
            path = model.path(Z, y, alphas)
            days = predicted.stop - predicted.start
            p, ys = np.zeros((DAYS, len(alphas))), np.zeros((3, DAYS))
            coef = np.array([fit.coef for fit in path])
            p[:days] = sample.X[predicted][:, scaling.columns] @ (coef / scaling.scale).T
            ys[:, :days] = [x[predicted] for x in (sample.residual, sample.baseline, sample.ordinary)]
            one |= {what: p, f"{what}_y": ys, f"{what}_n": days}
            if what == "seen":
                one["scale"] = np.sqrt(np.mean(y**2))
                one["level"] = model.alpha_max(Z, y) / one["scale"]
                one["zero"] = np.array([not np.any(fit.coef) for fit in path])
        every.append(one)
    return {
        "name": ticker,
        "alphas": alphas,
        **{key: np.array([one[key] for one in every]) for key in every[0]},
    }


def _together(found: list[dict[str, Any]], months: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Stack the windows of all ADRs by month."""
    stacked: dict[str, Any] = {
        "names": np.array([one["name"] for one in found]),
        "alphas": found[0]["alphas"],
    }
    for key in set(found[0]) - {"name", "alphas", "month"}:
        values = np.zeros((len(found), len(months), *found[0][key].shape[1:]), found[0][key].dtype)
        for row, one in enumerate(found):
            values[row, np.searchsorted(months, one["month"])] = one[key]
        stacked[key] = np.moveaxis(values, 2, 0) if key.endswith("_y") else values
    return stacked


# ---------------------------------------------------------------------------------------------------- rules
# A rule gives weights (N, M, K) on the alphas; those of month j depend on months up to j of `seen` only.

Rule = Callable[[Panel], Array]
Group = Callable[[Panel], Array]
LEDGER: dict[str, Rule] = {}


def of_one(choose: selection.Rule) -> Rule:
    """A rule in the form of `kairos.adr.selection`: it sees the windows of one ADR so far."""
    return of_all(lambda histories, a: choose(histories[a]))


def of_all(choose: Callable[[Sequence[selection.History], int], Array]) -> Rule:
    """A rule that sees the windows of all ADRs so far, none for an ADR that has not begun."""

    def rule(x: Panel) -> Array:
        weights = np.zeros(x.zero.shape)
        histories: list[list[selection.Validation]] = [[] for _ in x.names]
        for j in range(len(x.months)):
            now = np.flatnonzero(x.there[:, j])
            for a in now:
                seen, ys = x.seen[a, j, : x.seen_n[a, j]], x.seen_y[:, a, j, : x.seen_n[a, j]]
                histories[a].append(selection.Validation(seen.T, x.zero[a, j], *ys))
            for a in now:
                weights[a, j] = choose(histories, int(a))
        return weights

    return rule


SEVEN, CLIP, WORTH = 7, 3.0, 6


def slope_moments(history: selection.History) -> tuple[float, float]:
    """Σp·e and Σp·p of the mean of the first seven steps, over the validation months of one ADR so far.

    Both are in units of the residual's size over these months, and cut at three of it: one day with a wrong
    price must not decide.
    """
    p = np.concatenate([past.weights(past.steps[:SEVEN]) @ past.predictions for past in history])
    e = np.concatenate([past.residual for past in history])
    size = np.sqrt(np.mean(e**2))
    p, e = np.clip(p / size, -CLIP, CLIP), np.clip(e / size, -CLIP, CLIP)
    return float(p @ e), float(p @ p)


def pooled_slope(histories: Sequence[selection.History], a: int) -> Array:
    """`shrunk_slope` with the slope of all ADRs so far instead of one half. Frozen.

    The opinion is worth six average windows of all ADRs.
    """
    moments_ = np.array([slope_moments(history) for history in histories if history])
    pe, pp = moments_.sum(axis=0)
    if not pp:
        return histories[a][-1].weights([])
    now, (own_pe, own_pp) = histories[a][-1], slope_moments(histories[a])
    opinion = WORTH * pp / sum(map(len, histories))
    return now.weights(now.steps[:SEVEN], total=(own_pe + opinion * pe / pp) / (own_pp + opinion))


def _equal(chosen: np.ndarray[Any, Any]) -> Array:
    return np.asarray(chosen / np.maximum(chosen.sum(axis=2, keepdims=True), 1))


def first(k: int) -> Group:
    """Mean of the first k steps."""
    return lambda x: _equal((x.step >= 1) & (x.step <= k))


def only(k: int) -> Group:
    """Step k; the last one where there are fewer."""
    return lambda x: _equal((x.step == np.minimum(k, x.step[:, :, -1:])) & (x.step >= 1))


def louder(than: float, root_n: bool = False) -> Group:
    """Mean of the steps with alpha above a share of the residual's size (over √n), the first at least."""

    def group(x: Panel) -> Array:
        least = x.scale * than / (np.sqrt(np.maximum(x.n, 1)) if root_n else 1.0)
        return _equal((x.step >= 1) & ((x.alphas >= least[:, :, None]) | (x.step == 1)))

    return group


def moments(x: Panel, weights: Array, clip: float, unit: str = "training") -> tuple[Array, Array]:
    """Σp·e and Σp·p of the validation months, (N, M); both in units of the residual's size and cut at ± clip.

    The size is that of the training months, of the validation month, or of all validation months so far.
    """
    size = x.scale
    if unit != "training":
        square, days = (x.seen_y[0] ** 2).sum(axis=2), x.seen_n.astype(float)
        so_far = unit == "so far"
        size = np.sqrt(_over(square.cumsum(1), days.cumsum(1)) if so_far else _over(square, days))
    size = np.where(size > 0, size, 1.0)[:, :, None]
    p = np.einsum("amdk,amk->amd", x.seen, weights) / size
    e = x.seen_y[0] / size
    p, e = np.clip(p, -clip, clip), np.clip(e, -clip, clip)
    return (p * e).sum(axis=2), (p * p).sum(axis=2)


def _over(a: Array, b: Array) -> Array:
    return np.divide(a, b, out=np.zeros(np.broadcast(a, b).shape), where=b > 0)


def slope(
    group: Group,
    *,
    prior: float | str | None = None,
    worth: float = 0.0,
    clip: float = np.inf,
    unit: str = "training",
    half_life: float = np.inf,
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> Rule:
    """Group times the slope of its past out-of-sample predictions, shrunk to a prior worth some windows.

        slope = (Σp·e + worth·m·prior) / (Σp·p + worth·m)      m = Σp·p of an average window

    over the ADR's own windows so far. The prior "pooled" is the slope of all ADRs so far, and m is theirs;
    worth = ∞ is the prior alone; "estimated" takes the worth from how much the ADRs' slopes differ
    (DerSimonian and Laird 1986).
    """

    def rule(x: Panel) -> Array:
        weights = group(x)
        pe, pp = moments(x, weights, clip, unit)
        keep = 0.5 ** (1.0 / half_life)
        pe, pp, windows_ = (_discounted(each, keep) for each in (pe, pp, x.there.astype(float)))
        if prior == "estimated":
            found = _estimated(pe, pp)
        elif prior == "pooled":
            all_pe, all_pp = pe.sum(axis=0), pp.sum(axis=0)
            common = _over(all_pe, all_pp)
            if np.isinf(worth):
                found = np.broadcast_to(common, pe.shape)
            else:
                weight = worth * _over(all_pp, windows_.sum(axis=0))
                found = _over(pe + weight * common, pp + weight)
        else:
            weight = worth * _over(pp, windows_)
            found = _over(pe + weight * float(prior or 0.0), pp + weight)
        return weights * np.clip(found, *bounds)[:, :, None]

    return rule


def _discounted(values: Array, keep: float) -> Array:
    """Sum over months so far, each month's share `keep` of the next one's."""
    total = np.zeros_like(values)
    for j in range(values.shape[1]):
        total[:, j] = values[:, j] + (keep * total[:, j - 1] if j else 0.0)
    return total


def _estimated(pe: Array, pp: Array) -> Array:
    own, noise = _over(pe, pp), _over(np.ones_like(pp), pp)
    w = pp
    mean = _over((w * own).sum(0), w.sum(0))
    spread = (w * (own - mean) ** 2).sum(0) - ((w > 0).sum(0) - 1)
    tau = np.maximum(0.0, _over(spread, w.sum(0) - _over((w * w).sum(0), w.sum(0))))
    v = np.where(pp > 0, 1.0 / np.where(pp > 0, noise + tau, 1.0), 0.0)
    mean = _over((v * own).sum(0), v.sum(0))
    return np.asarray((tau * pe + mean) / (tau * pp + 1.0))


def by_strength(group: Group, worth: float, clip: float) -> Rule:
    """Slope whose pooled prior is linear in alpha_max/scale, shrunk to it."""

    def rule(x: Panel) -> Array:
        weights = group(x)
        pe, pp = moments(x, weights, clip)
        z = np.where(x.there, x.level - 0.3, 0.0)
        a, b, c = (np.cumsum((pp * z**i).sum(0)) for i in range(3))
        d, f = (np.cumsum((pe * z**i).sum(0)) for i in range(2))
        det = a * c - b * b
        level, tilt = _over(d * c - f * b, det), _over(f * a - d * b, det)
        expected = np.zeros_like(pe)
        for j in range(pe.shape[1]):
            past = np.maximum(0.0, level[j] + tilt[j] * z[:, : j + 1])
            typical = (
                a[j]
                / max(1, x.there[:, : j + 1].sum())
                * _over((past**2 * x.there[:, : j + 1]).sum(1), x.there[:, : j + 1].sum(1))
            )
            more = _over(
                (pe[:, : j + 1] * past).sum(1) + worth * typical,
                (pp[:, : j + 1] * past**2).sum(1) + worth * typical,
            )
            expected[:, j] = past[:, -1] * more
        return weights * expected[:, :, None]

    return rule


def best_step(pooled: bool, clip: float) -> Rule:
    """Step with the smallest squared error in units of `scale` over past windows of the ADR, or of all."""

    def rule(x: Panel) -> Array:
        count = int(x.step.max())
        groups = [only(k)(x) for k in range(1, count + 1)]
        found = [moments(x, weights, clip) for weights in groups]
        gains = np.array([np.cumsum(2 * pe - pp, axis=1) for pe, pp in found])
        gains = np.broadcast_to(gains.sum(axis=1, keepdims=True), gains.shape) if pooled else gains
        best = gains.argmax(axis=0)
        stacked = np.stack(groups)
        weights = np.take_along_axis(stacked, best[None, :, :, None], axis=0)[0]
        return np.asarray(weights * (gains.max(axis=0) > 0)[:, :, None])

    return rule


def stack(worth: float, clip: float) -> Rule:
    """Non-negative weights on the means of steps 1–3, 4–6 and 7–10: pooled, and the ADR's shrunk to them."""
    edges = [(1, 3), (4, 6), (7, 10)]

    def rule(x: Panel) -> Array:
        groups = np.stack([_equal((x.step >= a) & (x.step <= b)) for a, b in edges])
        size = np.where(x.scale > 0, x.scale, 1.0)[:, :, None]
        p = np.clip(np.einsum("amdk,gamk->gamd", x.seen, groups) / size, -clip, clip)
        e = np.clip(x.seen_y[0] / size, -clip, clip)
        G = np.cumsum(np.einsum("gamd,hamd->amgh", p, p), axis=1)
        c = np.cumsum(np.einsum("gamd,amd->amg", p, e), axis=1)
        weights = np.zeros(x.zero.shape)
        for j in range(len(x.months)):
            common, total = G[:, j].sum(0), c[:, j].sum(0)
            pooled = _non_negative(common, total)
            prior = common / max(1, x.there[:, : j + 1].sum()) * (0.0 if np.isinf(worth) else worth)
            for a in np.flatnonzero(x.there[:, j]):
                own = pooled if np.isinf(worth) else _non_negative(G[a, j] + prior, c[a, j] + prior @ pooled)
                weights[a, j] = own @ groups[:, a, j]
        return weights

    return rule


def _non_negative(G: Array, c: Array) -> Array:
    L = np.linalg.cholesky(G + 1e-9 * np.trace(G) * np.eye(len(G)))
    return np.asarray(nnls(L.T, np.linalg.solve(L, c))[0])


REFERENCES = (
    *("mse", "mse_1se", "ic", "ic_total", "past_oos", "fourth", "seven_slope", "shrunk_slope"),
    "pooled_slope",
)


def references() -> None:
    """The desk's rules, among them the frozen `shrunk_slope`, and the frozen pooled one."""
    for name in REFERENCES[:-1]:
        LEDGER[name] = of_one(selection.rules()[name])
    LEDGER[REFERENCES[-1]] = of_all(pooled_slope)


def attempts() -> None:
    """Everything else that was tried, in the order of trying."""
    LEDGER["mean of 7"] = first(7)
    for k in (*range(1, 4), *range(5, 16)):
        LEDGER[f"step {k}"] = only(k)
    inf = np.inf
    for clip in (inf, 5.0, 3.0, 2.0):
        tag = "" if clip == inf else f", clip {clip:g}"
        LEDGER[f"best step{tag}"] = best_step(False, clip)
        LEDGER[f"best step, pooled{tag}"] = best_step(True, clip)
        for k in (3, 5, 7, 10) if clip == inf else (5, 7):
            LEDGER[f"{k}: own slope{tag}"] = slope(first(k), clip=clip)
            LEDGER[f"{k}: pooled slope{tag}"] = slope(first(k), prior="pooled", worth=inf, clip=clip)
        for k, worth in (
            ((7, 6), (7, 12), (7, 24), (7, 48), (5, 12), (10, 12)) if clip == inf else ((5, 12), (7, 12))
        ):
            LEDGER[f"{k}: own to pooled, {worth}{tag}"] = slope(
                first(k), prior="pooled", worth=worth, clip=clip
            )
        for k in () if clip == inf else (5, 7):
            LEDGER[f"{k}: own to pooled, estimated{tag}"] = slope(first(k), prior="estimated", clip=clip)
    for worth in (6, 12):
        LEDGER[f"7: own to 0, {worth}"] = slope(first(7), prior=0.0, worth=worth)
    c = 3.0
    for k, worth in ((4, 12), (6, 12), (7, 6)):
        LEDGER[f"{k}: own to pooled, {worth}, clip 3"] = slope(first(k), prior="pooled", worth=worth, clip=c)
    LEDGER["6: own to pooled, estimated, clip 3"] = slope(first(6), prior="estimated", clip=c)
    for weight in (12.0, 24.0, inf):
        LEDGER[f"stacked, {weight:g}, clip 3"] = stack(weight, c)
    for bounds in ((0.0, inf), (0.0, 1.0)):
        LEDGER[f"5: own to pooled, 12, clip 3, in {bounds}"] = slope(
            first(5), prior="pooled", worth=12, clip=c, bounds=bounds
        )
    for life in (6, 12, 24):
        LEDGER[f"5: own to pooled, 6, clip 3, half-life {life}"] = slope(
            first(5), prior="pooled", worth=6, clip=c, half_life=life
        )
    for k, worth in ((5, 6), (5, 12), (5, 24), (7, 12)):
        LEDGER[f"{k}: own to strength, {worth}, clip 3"] = by_strength(first(k), worth, c)
    for than in (0.18, 0.15, 0.12, 0.09):
        LEDGER[f"alpha > {than}: own to pooled, 12, clip 3"] = slope(
            louder(than), prior="pooled", worth=12, clip=c
        )
    for than in (0.12, 0.09, 0.07, 0.05):
        LEDGER[f"alpha > {than}: estimated, clip 3"] = slope(louder(than), prior="estimated", clip=c)
    for than in (1.0, 1.5, 2.0):
        LEDGER[f"alpha > {than:g}/√n: estimated, clip 3"] = slope(
            louder(than, root_n=True), prior="estimated", clip=c
        )
    for worth in (3, 6, 12):
        for prior in (0.0, 0.5, 1.0):
            LEDGER[f"7: own to {prior:g}, {worth}, clip 3"] = slope(
                first(7), prior=prior, worth=worth, clip=c
            )
    for unit, clips in (("training", (2.0, 4.0)), ("month", (2.0, c, 4.0)), ("so far", (2.0, c, 4.0))):
        for clip in clips:
            for to in (0.5, "pooled"):
                LEDGER[f"7: own to {to}, 6, clip {clip:g}, unit {unit}"] = slope(
                    first(7), prior=to, worth=6, clip=clip, unit=unit
                )
    for than in (1.0, 1.5):
        for to in (0.5, "pooled"):
            LEDGER[f"alpha > {than:g}/√n: own to {to}, 6, clip 3"] = slope(
                louder(than, root_n=True), prior=to, worth=6, clip=c
            )


# ---------------------------------------------------------------------------------------------------- scores


def _ic(p: Array, a: Array, n: np.ndarray[Any, Any]) -> Array:
    """Correlation over the first n of DAYS, (N, M); NaN where one side is constant."""
    day = np.arange(DAYS) < n[:, :, None]
    count = np.maximum(n, 1)[:, :, None]
    p, a = (np.where(day, v - np.where(day, v, 0.0).sum(2, keepdims=True) / count, 0.0) for v in (p, a))
    size = np.sqrt((p * p).sum(2) * (a * a).sum(2))
    return np.asarray(np.divide((p * a).sum(2), size, out=np.full(size.shape, np.nan), where=size > 0))


@dataclass(frozen=True)
class Score:
    """Gain and IC of a rule, (N, M), NaN where a month doesn't count; and its share of zero models."""

    gain: Array
    ic: Array
    zero: float


def score(x: Panel, weights: Array, min_days: int = 10) -> Score:
    """Score the weights of a rule on the months that they predict."""
    p = np.einsum("amdk,amk->amd", x.target, weights)
    _, baseline, ordinary = x.target_y
    counts = x.there & (x.target_n >= min_days)
    nothing = ~p.any(axis=2)
    before = _ic(baseline, ordinary, x.target_n)
    after = np.where(nothing, before, _ic(baseline + p, ordinary, x.target_n))
    gain, after = (np.where(counts, v, np.nan) for v in (after - before, after))
    return Score(gain, after, float(nothing[counts].mean()))


def monthly(gain: Array) -> Array:
    """Mean over ADRs of each month that counts for any."""
    some = ~np.isnan(gain).all(axis=0)
    return np.asarray(np.nanmean(gain[:, some], axis=0))


def t_value(gain: Array, lags: int = 0) -> float:
    """Statistic t of the mean of monthly means; with lags, by the standard error of Newey and West (1987)."""
    by_month = monthly(gain)
    if not by_month.any():
        return np.nan
    d, n = by_month - by_month.mean(), len(by_month)
    long_run = float(d @ d) + 2 * sum(
        (1 - lag / (lags + 1)) * (d[lag:] @ d[:-lag]) for lag in range(1, lags + 1)
    )
    return float(by_month.mean() / (np.sqrt(long_run * n / (n - 1)) / n))


def young(x: Panel, rule: Rule) -> Array:
    """Weights of a rule whose history begins anew every YOUNG months."""
    parts = [rule(x.between(j, min(j + YOUNG, len(x.months)))) for j in range(0, len(x.months), YOUNG)]
    return np.concatenate(parts, axis=1)


def knows_past_only(x: Panel, rule: Rule, weights: Array) -> bool:
    """Whether the weights of the first half stay the same when the second half is cut off."""
    half = len(x.months) // 2
    return bool(np.allclose(rule(x.between(0, half)), weights[:, :half], rtol=1e-9, atol=1e-12))


@dataclass(frozen=True)
class Tried:
    """Scores of a rule, and its gain (N, M) with a young history."""

    score: Score
    young: Array


def tried(x: Panel, name: str, rule: Rule) -> Tried:
    """Score a rule; it must not know the future."""
    weights = rule(x)
    if not knows_past_only(x, rule, weights):
        raise ValueError(f"{name} knows the future")
    return Tried(score(x, weights), score(x, young(x, rule)).gain)


def table(x: Panel, found: Mapping[str, Tried], london: np.ndarray[Any, Any]) -> pd.DataFrame:
    """One row for each rule: mean gains over the baseline and over other rules, each with its t-value.

    `london` (N,) bool tells London's names from those of the euro zone.
    """
    rows, early = [], x.months < CHECKED_FROM
    fourth, seven, default = (found[name] for name in ("fourth", "seven_slope", "mse_1se"))
    for name, one in found.items():
        gain = one.score.gain
        ahead = gain - fourth.score.gain
        gains = {
            "gain": gain,
            "vs_fourth": ahead,
            "vs_seven": gain - seven.score.gain,
            "vs_mse_1se": gain - default.score.gain,
            "17-19": gain[:, early],
            "20-23": gain[:, ~early],
            "odd": gain[::2],
            "even": gain[1::2],
            "london": gain[london],
            "london_vs_fourth": ahead[london],
            "euro": gain[~london],
            "euro_vs_fourth": ahead[~london],
            "young": one.young,
            "young_vs_fourth": one.young - fourth.young,
            "young_vs_seven": one.young - seven.young,
            "young_vs_mse_1se": one.young - default.young,
        }
        row: dict[str, Any] = {"rule": name, "ic": np.nanmean(one.score.ic)}
        for key, values in gains.items():
            row |= {key: np.nanmean(values), f"t_{key}": t_value(values)}
        row |= {"nw_gain": t_value(gain, 3), "nw_vs_fourth": t_value(ahead, 3)}
        row |= {"zero": one.score.zero, "worse_adrs": int((np.nanmean(gain, axis=1) < 0).sum())}
        rows.append(row)
    return pd.DataFrame(rows)


def by_name(x: Panel, found: Mapping[str, Tried], exchanges: pd.Series) -> pd.DataFrame:
    """One row for each ADR: exchange, months that count, mean gain of the references."""
    gains = {name: found[name].score.gain for name in REFERENCES}
    months = np.isfinite(gains["fourth"]).sum(axis=1)
    means = {name: np.nanmean(gain, axis=1) for name, gain in gains.items()}
    return pd.DataFrame({"name": x.names, "exchange": exchanges.to_numpy(), "months": months, **means})


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--names", choices=["development", "holdout"], default="development")
    parser.add_argument("--features-only", action="store_true")
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    began = time.perf_counter()
    folder = args.out / args.names
    desk = development(folder) if args.names == "development" else holdout(folder)
    if not desk.path(TARGETS).exists():
        betas(desk)
        typer.echo("\n".join(features(desk).remarks()))
    typer.echo(f"features: {time.perf_counter() - began:.0f} s")
    if args.features_only:
        return
    x = panel(desk, args.out / f"{args.names}.npz", args.workers)
    typer.echo(f"{len(x.names)} ADRs, {len(x.months)} months; paths: {time.perf_counter() - began:.0f} s")
    references()
    if args.names == "development":
        attempts()
    found = {name: tried(x, name, rule) for name, rule in LEDGER.items()}
    targets = pd.read_parquet(desk.path(TARGETS), columns=["ticker", "exchange"])
    exchanges = targets.drop_duplicates("ticker").set_index("ticker")["exchange"].loc[x.names]
    rules, names = table(x, found, (exchanges == "XLON").to_numpy()), by_name(x, found, exchanges)
    rules.to_csv(args.out / f"{args.names}.csv", index=False)
    names.to_csv(args.out / f"{args.names}_names.csv", index=False)
    baseline = score(x, np.zeros(x.zero.shape))
    typer.echo(rules.to_string(index=False, float_format="{:.4f}".format))
    typer.echo(names.to_string(index=False, float_format="{:.4f}".format))
    typer.echo(f"baseline IC {np.nanmean(baseline.ic):.4f}, {np.isfinite(baseline.ic).sum()} ADR-months")
    typer.echo(f"{len(LEDGER)} rules tried; {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
