"""The gate: in which months an ADR uses the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from kairos.adr.evaluate import BY_ADR, MONTHLY
from kairos.adr.results import read_csv
from kairos.adr.train import evaluation_output
from kairos.errors import InputError
from kairos.evaluation.prediction import expanding_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kairos.adr.desk import Desk

Mode = Literal["full_sample", "expanding"]
MODES: tuple[Mode, ...] = ("full_sample", "expanding")
Months = np.ndarray[Any, np.dtype[np.datetime64]]


@dataclass(frozen=True, eq=False)
class Gate:
    """What a mode of the gate lets through.

    Attributes
    ----------
    mode
        ``full_sample``: the improvement over all test months decides for all months, which is in-sample.
        ``expanding``: the test months before a month decide for it.
    always
        ADRs that pass in all months; of ``full_sample``.
    opens : ADR → datetime64[M]
        Months that pass, of ``expanding``; the month after the last test month included.
    last : datetime64[M]
        The last month that `opens` knows about.
    """

    mode: Mode
    always: frozenset[str]
    opens: Mapping[str, Months]
    last: np.datetime64

    def is_open(self, adr: str, months: Months) -> np.ndarray:
        """Tell in which months an ADR uses the model, of the same shape.

        A month after those that have been evaluated is judged as the first of them: by all test months.
        """
        if self.mode == "full_sample":
            return np.full(months.shape, adr in self.always)
        known = np.where(months > self.last, self.last, months)
        return np.isin(known, self.opens.get(adr, np.empty(0, dtype="datetime64[M]")))

    def digest(self, adr: str) -> str:
        """What the gate says of an ADR, as text."""
        return f"{self.mode} {adr in self.always} {self.opens.get(adr)}"


def read_gates(desk: Desk) -> dict[Mode, Gate]:
    """Both modes of the gate, from the tables of the step `evaluate`.

    Raises
    ------
    InputError
        The evaluation is missing, or a file of it is none.
    """
    into, rules = evaluation_output(desk), desk.settings.adr.gate
    by_adr = read_csv(desk, f"{into}/{BY_ADR}", "evaluate", texts=["ticker"], numbers=["improvement"])
    monthly = read_csv(
        *(desk, f"{into}/{MONTHLY}", "evaluate"),
        texts=["ticker"],
        months=["month"],
        numbers=["ic_improvement"],
        flags=["counted"],
    )
    path = desk.path(f"{into}/{MONTHLY}")
    if not len(monthly):
        raise InputError(f"{path}: no rows; run `evaluate` again")
    twice = monthly.duplicated(["ticker", "month"])
    if twice.any():
        row = int(twice.to_numpy().argmax())
        raise InputError(f"{path}, row {row + 2}: {monthly['ticker'].iloc[row]} has two rows of the month")
    passing = by_adr.loc[by_adr["improvement"] >= rules.min_improvement, "ticker"]
    counted = monthly["ic_improvement"].where(monthly["counted"])
    wide = monthly.assign(counted=counted).pivot(index="month", columns="ticker", values="counted")
    months = np.array(wide.index.tolist(), dtype="datetime64[M]")
    following = months[-1] + 1
    grown = np.vstack([wide.to_numpy(dtype=np.float64), np.full(wide.shape[1], np.nan)])
    past = expanding_mean(grown, rules.min_months)
    with np.errstate(invalid="ignore"):
        passes = past >= rules.min_improvement
    every = np.append(months, following)
    opens = {str(adr): every[passes[:, n]] for n, adr in enumerate(wide.columns)}
    return {
        "full_sample": Gate("full_sample", frozenset(passing), {}, following),
        "expanding": Gate("expanding", frozenset(), opens, following),
    }
