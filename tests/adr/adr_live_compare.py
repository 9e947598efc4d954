"""A day replayed one bar at a time, against the batch."""

from __future__ import annotations

import random
from collections import Counter, defaultdict

import numpy as np
import pandas as pd
from adr_minutes_desk import truth

from kairos.adr.live import LiveDesk
from kairos.adr.replay import arrivals
from kairos.adr.signal import signal_folder

MINUTE = 60_000_000_000
COLUMNS = (
    *("signal", "inferred", "adr_return", "index_return", "fx_return", "model_return", "age_s"),
    "premium_c",
)


def batch(desk):
    folder = desk.root / signal_folder(desk)
    return {adr: pd.read_parquet(folder / f"ticker={adr}" / "data.parquet") for adr in truth(desk)["adrs"]}


def replay(desk, day, seed=0):
    """A day as a trading process has it: the bars of each minute in any order, then the signal."""
    found = LiveDesk(desk, np.datetime64(day))
    by_minute = defaultdict(list)
    for arrived, bar in arrivals(desk, found):
        by_minute[-(-arrived // MINUTE)].append(bar)
    shuffle = random.Random(seed)
    out = []
    for number in sorted(by_minute):
        bars = by_minute[number]
        shuffle.shuffle(bars)
        for bar in bars:
            found.update(bar)
        out.append(found.signal(np.datetime64(number * MINUTE, "ns")))
    return found, out


def compare(desk, day, rows):
    """Compare all minutes that live emits; gives how many, with the model how many, why others are not."""
    found, given = replay(desk, day)
    emitted, with_model, held = 0, 0, Counter()
    for minute in given:
        for s in minute:
            if s.withheld:
                held[s.withheld.split(" ")[0]] += 1
                assert np.isnan(s.signal)
                continue
            row = rows[s.adr].loc[pd.Timestamp(s.time, tz="UTC")]
            for column in COLUMNS:
                np.testing.assert_allclose(getattr(s, column), row[column], rtol=0, atol=1e-12)
            np.testing.assert_allclose(
                s.coverage if s.source == "model" else np.nan, row["coverage"], atol=1e-12
            )
            emitted += 1
            with_model += s.source == "model"
    return found, emitted, with_model, held
