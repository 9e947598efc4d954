"""What is planted in a simulated market: the constants of its data-generating process.

The total return of security i over (t−1, t] is

    r_i,t = β_i·m_t + f_s(i),t + Σ_k λ_k·z_k,i,t−1 + e_i,t

with the market m, the factor f of its sector, the characteristics z and the idiosyncratic part e. A
characteristic with value z known after the close of session t−1 earns its premium λ·z over (t−1, t]: close
to close, never earlier. All z but `reversal` are slow Gaussian AR(1) processes, standard normal over the
securities of every session. `reversal` is the security's own past 21-session total return, as anybody can
compute it from `closeadj`.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

SESSIONS_PER_YEAR = 252

# Market: two regimes (annual mean, annual volatility, mean stay in sessions), 16 % a year together.
CALM = (0.14, 0.12, 200.0)
STRESSED = (-0.15, 0.26, 50.0)
SECTOR_VOLATILITY = 0.06  # a year

# Idiosyncratic shocks: two normals; on a news session the deviation is NEWS_SCALE times as large.
NEWS_SHARE = 0.04
NEWS_SCALE = 3.0

REVERSAL_WINDOW = 21
REVERSAL_BOUND = 0.5  # a past return beyond ±50 % counts as ±50 %


@dataclass(frozen=True)
class Characteristic:
    """A planted characteristic.

    Attributes
    ----------
    name
        Its column in `truth_characteristics.parquet`.
    premium
        Return per session for a characteristic of 1, as a fraction (0.0003 is 3 basis points).
    half_life
        Sessions after which half of a deviation is left; None where the process is not an AR(1).
    visible
        Where a user sees it in the vendor's tables.
    """

    name: str
    premium: float
    half_life: float | None
    visible: str

    @property
    def persistence(self) -> float:
        """AR(1) coefficient a session, 2^(−1/half_life)."""
        if self.half_life is None:
            raise ValueError(f"{self.name} is no AR(1) process")
        return float(2.0 ** (-1.0 / self.half_life))


REVERSAL = Characteristic(
    "reversal",
    -0.006,  # a past return of 10 % (less than a standard deviation) earns −6 basis points
    None,
    "SEP closeadj: closeadj_t / closeadj_t−21 − 1",
)
VALUE = Characteristic("value", 0.0003, 378.0, "DAILY 1/pb, 1/pe: cheap is high")
QUALITY = Characteristic("quality", 0.0003, 504.0, "SF1 netinc/equity (high), (netinc − ncfo)/assets (low)")
INSIDER = Characteristic("insider", 0.0004, 42.0, "SF2 purchases (high) against sales (low)")
LEVERAGE = Characteristic("leverage", 0.0, 504.0, "SF1 debt/equity; earns nothing")

PERSISTENT = (VALUE, QUALITY, INSIDER, LEVERAGE)
CHARACTERISTICS = (REVERSAL, *PERSISTENT)


def stream(seed: int, name: str) -> np.random.Generator:
    """Independent random numbers for one purpose: adding a stream changes no other."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])
