"""Small daily tables, and real DuckDB shells of an older release."""

import datetime as dt
import subprocess
from contextlib import contextmanager
from pathlib import Path

import duckdb_cli
import numpy as np
import pyarrow as pa

SHELL = str(Path(duckdb_cli.__file__).parent / "duckdb")
KEY = ("ticker", "date")


def year_part(year, tickers=("A", "B", "C"), days=20, seed=0, columns=("x",)):
    """One calendar year of a daily table, in the order of its key."""
    rng = np.random.default_rng([year, seed])
    dates = [dt.date(year, 1, 2) + dt.timedelta(days=i) for i in range(days)]
    return pa.table(
        {
            "ticker": [ticker for ticker in tickers for _ in dates],
            "date": dates * len(tickers),
            **{c: pa.array(rng.standard_normal(len(tickers) * days).astype(np.float32)) for c in columns},
        }
    )


def years(first, last, **options):
    return [year_part(year, **options) for year in range(first, last + 1)]


def run_shell(db, sql, *options):
    """Run statements in a DuckDB shell; return its lines of CSV without the header."""
    done = subprocess.run(
        [SHELL, *options, "-csv", "-noheader", str(db), "-c", sql], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@contextmanager
def open_shell(db, sql, *options):
    """Keep a shell open that has run a statement; killed in the end if it is still there."""
    shell = subprocess.Popen(
        [SHELL, *options, "-csv", "-noheader", str(db)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    try:
        ask(shell, sql)
        yield shell
    finally:
        shell.kill()
        shell.communicate()


def ask(shell, sql):
    """Run statements in an open shell and return its lines."""
    shell.stdin.write(f"{sql}\nSELECT 'done';\n")
    shell.stdin.flush()
    lines = []
    while (line := shell.stdout.readline().strip()) != "done":
        assert line or shell.poll() is None, "the shell ended"
        lines.append(line)
    return lines


def leave(shell):
    """End an open shell in the orderly way."""
    shell.stdin.write(".exit\n")
    shell.stdin.flush()
    shell.wait(timeout=10)
