"""Commands in processes of their own, which faults befall, and what they leave behind.

Run as a program this file is a server: it imports Kairos once and forks a process for every command, so that
a command costs its work and not five seconds of imports. The process is the leader of its group, has its own
limits, and ends as one that a shell started.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from kairos.adr.desk import Desk
from kairos.adr.modelfile import read_model
from kairos.settings import load
from kairos.simulate.adr import simulate_desk
from kairos.simulate.equity import simulate
from kairos.store import Store

PATIENCE = 120.0
"""Seconds after which a command counts as hanging."""

TAIL = 6
"""Sessions at the end of a simulated market that come with the evening's update."""

ADR_SETTINGS = """
[run]
workers = 1
[adr]
start = "2024-01-02"
end = "2025-03-31"
[adr.betas]
window_days = 90
min_pairs = 20
[adr.model.alphas]
logspace = [-4, 1, 12]
[adr.evaluation]
draws = 200
[adr.gate]
min_improvement = -1.0
min_months = 1
"""

OWN = ("models/", "futures_only_signal/", "index_russell", "russell1000/russell_betas/")
"""Beginnings of the names of what these steps make."""
STEPS = ("betas", "features", "train", "evaluate", "baseline", "signal")


@dataclass(frozen=True)
class Ended:
    """How a command ended; `code` is the negative signal of one that was killed."""

    code: int
    out: str
    err: str
    seconds: float


class Command:
    """A command under way."""

    def __init__(self, server: Server, pid: int, files: tuple[Path, Path]) -> None:
        self.pid = pid
        self._server, self._files, self._began = server, files, time.monotonic()

    def kill(self, sent: int = signal.SIGKILL, *, group: bool = True) -> None:
        """Send a signal to the command and the processes it has started, or to itself alone."""
        (os.killpg if group else os.kill)(self.pid, sent)

    def end(self, patience: float = PATIENCE) -> Ended:
        """Wait for its end; one that hangs is killed, and is an error."""
        code = self._server.ask({"wait": self.pid, "patience": patience})
        if code is None:
            self.kill()
            self._server.ask({"wait": self.pid, "patience": patience})
            raise AssertionError(f"no end after {patience:.0f} s:\n{self._files[1].read_text()}")
        out, err = (file.read_text() for file in self._files)
        return Ended(code, out, err, time.monotonic() - self._began)

    def said(self) -> str:
        """What it has written on stderr so far."""
        return self._files[1].read_text()


class Server:
    """Starts commands; `folder` keeps what they print."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._started = folder, 0
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},  # as `main` sets it
        )
        self.ask({})

    def ask(self, order: Mapping[str, Any]) -> Any:
        """Hand over an order and wait for the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def start(
        self,
        *words: object,
        limits: Mapping[str, int] | None = None,
        env: Mapping[str, object] | None = None,
        user: int = 0,
        above: int | None = None,
        out: Path | None = None,
    ) -> Command:
        """Start a command.

        Parameters
        ----------
        words
            What stands behind ``kairos``; the folder that it runs in is an empty one.
        limits
            Limits of its resources by their names in the module `resource`.
        env
            Variables of its environment, on top of the present ones.
        user
            The user under which it runs; 0 leaves it as it is.
        above
            Bytes of address space that it may take on top of those that it begins with.
        out
            Where stdout goes, in place of a file that is read at the end.
        """
        self._started += 1
        here = self.folder / f"{self._started:03}"
        here.mkdir()
        here.chmod(0o777)
        files = here.with_suffix(".out"), here.with_suffix(".err")
        files[0].touch()
        pid = self.ask(
            {
                "words": [str(word) for word in words],
                "cwd": str(here),
                "files": [str(out or files[0]), str(files[1])],
                "limits": dict(limits or {}),
                "env": {name: str(value) for name, value in (env or {}).items()},
                "user": user,
                "above": above,
            }
        )
        return Command(self, pid, files)

    def run(self, *words: object, **options: Any) -> Ended:
        """Start a command and wait for its end."""
        return self.start(*words, **options).end()

    def done(self, *words: object, **options: Any) -> Ended:
        """Run a command that must succeed."""
        ended = self.run(*words, **options)
        assert ended.code == 0, f"{words}: {ended.err}"
        return ended

    def close(self) -> None:
        """End the server."""
        self._process.communicate()


def refused(ended: Ended, code: int, *told: object) -> None:
    """A command that failed says why in one message, and that names what it has to."""
    assert ended.code == code, ended
    assert "Traceback" not in ended.err, ended.err
    assert ended.err.rstrip().splitlines()[-1].startswith("kairos: "), ended.err
    for text in told:
        assert str(text) in ended.err, (text, ended.err)


# The equity desk: a market, and the last evening of it on its own.


def market(folder: Path, tickers: int) -> tuple[Path, Path]:
    """Two years of vendor files but for the last sessions, and those sessions."""
    whole, before, evening = folder / "whole", folder / "before", folder / "evening"
    simulate(whole, tickers=tickers, years=2, seed=11)
    before.mkdir()
    evening.mkdir()
    for path in sorted(whole.glob("SHARADAR_*.csv")):
        with path.open(newline="") as file:
            header, *rows = csv.reader(file)
        if path.stem not in ("SHARADAR_SEP", "SHARADAR_DAILY"):
            shutil.copyfile(path, before / path.name)
            continue
        date = header.index("date")
        first = sorted({row[date] for row in rows})[-TAIL]
        for part, late in ((before, False), (evening, True)):
            with (part / path.name).open("w", newline="") as file:
                csv.writer(file).writerows([header, *(row for row in rows if (row[date] >= first) == late)])
    return before, evening


def tables(db: Path) -> dict[str, str]:
    """Fingerprint of every table but the ledger of runs."""
    found = Store(db).snapshot().tables
    return {f"{space}.{name}": table.fingerprint for (space, name), table in found.items() if name != "runs"}


def check_readable(db: Path) -> None:
    """Every row of every table of the published catalog can be read, and every part is what it was."""
    store = Store(db)
    snapshot = store.snapshot()
    with snapshot.connect() as con:
        for (space, name), table in snapshot.tables.items():
            rows = table.meta["rows"] if table.sql else table.rows
            assert con.sql(f'SELECT count(*) FROM "{space}"."{name}"').fetchall() == [(rows,)], name
    store.verify()


def copy(folder: Path, to: Path) -> Path:
    """A copy of a folder in which anything may happen."""
    shutil.copytree(folder, to)
    return to


# The ADR desk: a data directory that the steps have worked through.


def adr_desk(server: Server, root: Path, steps: Sequence[str]) -> Path:
    """A small simulated desk after some steps."""
    simulate_desk(root, adrs=2, us_stocks=20, months=15, seed=4, minutes=1)
    (root / "kairos.toml").write_text(ADR_SETTINGS)
    for step in steps:
        server.done("adr", step, "--data", root)
    return root


def results(root: Path) -> dict[str, str]:
    """Hash of every file that the desk has made: of a table its rows, of any other file its bytes.

    The metadata of a minute file say what it was made of, with paths and times, and differ between desks.
    """
    made = root / "data" / "processed"
    files = sorted(path for path in made.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {str(path.relative_to(made)): _content(path) for path in files}


def leftovers(root: Path) -> list[str]:
    """Files that a command has begun and not finished; the next one overwrites them."""
    return [path.name for path in root.rglob(".*.tmp")]


def _content(path: Path) -> str:
    if path.suffix == ".parquet":
        sink = pa.BufferOutputStream()
        table = pq.read_table(path).replace_schema_metadata(None).combine_chunks()
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        return hashlib.sha256(sink.getvalue()).hexdigest()
    if path.suffix == ".pkl":
        read_model(path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def check_whole(root: Path) -> None:
    """Every result can be read and is known to the desk as its own, for nothing else can go on from it."""
    desk = Desk(root, load())
    for name in results(root):
        assert not name.startswith(OWN) or not desk.is_users(f"data/processed/{name}"), name


# The server.


def _serve() -> None:
    # A limit of memory then counts what a command works on: libraries that can't be loaded are another fault.
    from sklearn import linear_model  # noqa: F401

    from kairos.cli import main

    np.ones((300, 300)) @ np.ones((300, 300))  # OpenBLAS takes its memory now
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        order = json.loads(line)
        answer = None
        if "words" in order:
            answer = os.fork()
            if not answer:
                _become(order)
                main(order["words"])
                return
        elif "wait" in order:
            answer = _wait(order["wait"], order["patience"])
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _become(order: Mapping[str, Any]) -> None:
    """Make this process the one that an order asks for."""
    os.setsid()
    os.chdir(order["cwd"])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, path in ((0, os.devnull), *enumerate(order["files"], 1)):
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        os.dup2(file, number)
        os.close(file)
    os.environ.update(order["env"])
    for name, value in order["limits"].items():
        resource.setrlimit(getattr(resource, name), (value, value))
    if order["above"] is not None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + order["above"]
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    if order["user"]:
        os.setgroups([])
        os.setgid(order["user"])
        os.setuid(order["user"])


def _wait(pid: int, patience: float) -> int | None:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    return None


if __name__ == "__main__":
    _serve()
