"""Files and folders at URLs: brought, sent, mirrored; in memory, on disk, on a server that speaks S3."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import adr_train_desk
import pytest
from typer.testing import CliRunner

from kairos import executor, remote
from kairos.adr.desk import MODELS
from kairos.errors import InputError, WorkError

fsspec = pytest.importorskip("fsspec")
_number = itertools.count()


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(remote.CACHE, str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A bucket of a local server that speaks S3."""
    pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server").ThreadedMotoServer(
        ip_address="127.0.0.1", port=0, verbose=False
    )
    server.start()
    host, port = server.get_host_and_port()
    given = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in given.items():
            patch.setenv(name, value)
        made = urllib.request.Request(f"{given['AWS_ENDPOINT_URL']}/kairos", method="PUT")
        urllib.request.urlopen(made).read()
        yield "s3://kairos"
    server.stop()


@pytest.fixture(params=["memory", "file", pytest.param("s3", marks=pytest.mark.slow)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A URL below which nothing is."""
    if request.param == "s3":
        return f"{request.getfixturevalue('bucket')}/{next(_number)}"
    return f"memory://{next(_number)}" if request.param == "memory" else f"file://{tmp_path}/there"


def put(url: str, **files: str) -> None:
    for name, text in files.items():
        fs, path = fsspec.core.url_to_fs(f"{url}/{name.replace('__', '/')}")
        fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        fs.pipe_file(path, text.encode())
        fs.invalidate_cache()


def held(url: str) -> dict[str, str]:
    fs, root = fsspec.core.url_to_fs(url)
    fs.invalidate_cache()
    return {name[len(root) :].strip("/"): fs.cat_file(name).decode() for name in fs.find(root)}


def test_what_is_local_stays_where_it_is(tmp_path: Path) -> None:
    for of in (remote.reading, remote.writing, remote.mirrored):
        with of(tmp_path / "x") as path:
            assert path == tmp_path / "x"
    assert not (tmp_path / "cache").exists()


def test_a_file_and_a_folder_are_brought(place: str) -> None:
    put(place, a="1", deep__b="2")
    with remote.reading(f"{place}/a") as path:
        assert (path.name, path.read_text()) == ("a", "1")
    with remote.reading(place) as folder:
        assert {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} == {"a", "deep/b"}
        assert (folder / "deep/b").read_text() == "2"
        assert remote.with_urls(f"{folder}/a: bad") == f"{place}/a: bad"
    assert not folder.exists()
    with pytest.raises(InputError, match="there is no file"), remote.reading(f"{place}/absent"):
        pass


def test_what_was_written_is_sent_and_nothing_after_an_error(place: str) -> None:
    put(place, old="0")
    with remote.writing(f"{place}/page.html") as path:
        path.write_text("1")
        path.with_name("page_b.html").write_text("2")
        assert held(place) == {"old": "0"}
    with remote.writing(f"{place}/folder") as path:
        (path / "deep").mkdir(parents=True)
        (path / "deep" / "c").write_text("3")
    assert held(place) == {"old": "0", "page.html": "1", "page_b.html": "2", "folder/deep/c": "3"}
    with contextlib.suppress(ZeroDivisionError), remote.writing(f"{place}/old") as path:
        path.write_text("9")
        raise ZeroDivisionError
    assert held(place)["old"] == "0"


def test_a_mirror_brings_and_sends_what_has_changed(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    moved: list[tuple[str, str]] = []
    for verb in ("get", "put", "remove"):
        real = getattr(remote._There, verb)

        def told(self, *args, verb=verb, real=real):
            moved.append((verb, next(arg for arg in reversed(args) if isinstance(arg, str))))
            return real(self, *args)

        monkeypatch.setattr(remote._There, verb, told)
    put(place, raw__a="1", raw__b="2")
    with remote.mirrored(place) as root:
        assert (root / "raw/a").read_text() == "1"
        (root / "made").mkdir()
        (root / "made/c").write_text("3")
        (root / "made/.ledger").write_text("c")
        (root / "made/c.tmp").write_text("half")
        (root / "raw/b").unlink()
    assert moved == [
        *(("get", "raw/a"), ("get", "raw/b"), ("put", "made/.ledger"), ("put", "made/c")),
        ("remove", "raw/b"),
    ]
    assert held(place) == {"raw/a": "1", "made/c": "3", "made/.ledger": "c"}
    moved.clear()
    put(place, raw__a="11")
    fs, gone = fsspec.core.url_to_fs(f"{place}/made/c")
    fs.rm_file(gone)
    with remote.mirrored(place) as again:
        assert again == root
        assert (root / "raw/a").read_text() == "11"
        assert not (root / "made/c").exists()
    assert moved == [("get", "raw/a")]
    with contextlib.suppress(ZeroDivisionError), remote.mirrored(place):
        (root / "late").write_text("4")
        raise ZeroDivisionError
    assert "late" not in held(place)
    with remote.mirrored(place):
        assert held(place)["late"] == "4"  # what an interrupted run has left
        (root / "late").write_text("5")
        remote.send(root)
        assert held(place)["late"] == "5"


def test_one_process_at_a_time_works_in_a_mirror() -> None:
    put("memory://alone", a="1")
    with remote.mirrored("memory://alone"), pytest.raises(WorkError, match="another process works"):
        write_at(remote.mirrored, "memory://alone")


def read(path: str) -> str:
    return Path(path).read_text()


def test_a_worker_elsewhere_brings_the_mirror_to_the_same_place(place: str) -> None:
    put(place, raw__a="1")
    with remote.mirrored(place) as root:
        (mirror,) = remote.mirrors()
        name = str(root / "raw/a")
        (root / "raw/a").write_text("mine")  # the machine that asks is this one: its own file is read
        assert executor.run(read, [name], workers=1) == ["mine"]
        (root / remote.TOKEN).unlink()  # as on another machine
        (root / remote.STATE).unlink()
        assert executor.run(read, [name], workers=1) == ["1"]
        assert (root / remote.TOKEN).read_text() == mirror[2]


@pytest.mark.parametrize(
    ("of", "url", "kind", "said"),
    [
        (remote.reading, "nowhere://x", InputError, "nowhere://x: .*nowhere"),
        (remote.mirrored, "memory://none", InputError, "memory://none: there is no folder"),
        (remote.writing, "file:///proc/none/x", WorkError, "file:///proc/none/x"),
    ],
)
def test_errors_name_the_url(
    of: Callable[[str], AbstractContextManager[Path]], url: str, kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said):
        write_at(of, url)


def write_at(of: Callable[[str], AbstractContextManager[Path]], url: str) -> None:
    with of(url) as path:
        path.write_text("1")


def test_what_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(InputError, match=r"pip install 'kairos\[cloud\]'"):
        write_at(remote.writing, "memory://x")


def test_commands_take_urls(tmp_path: Path) -> None:
    from kairos.cli import app

    here = tmp_path / "vendor"
    run = CliRunner().invoke
    made = run(app, ["simulate", "equity", "--out", str(here), "--tickers", "30", "--years", "2"])
    assert made.exit_code == 0
    fs, root = fsspec.core.url_to_fs("memory://vendor")
    fs.put(str(here), root, recursive=True)
    db = str(tmp_path / "kairos.duckdb")
    reject = ["--reject", "memory://out/bad.csv"]
    found = run(app, ["equity", "ingest", "memory://vendor", "--db", db, *reject, "--json"])
    assert found.exit_code == 0, found.output
    rows = {row["table"]: row for row in json.loads(found.stdout)["tables"]}
    assert rows
    assert held("memory://out")["bad.csv"].startswith("table")
    missing = run(app, ["equity", "ingest", "memory://none", "--db", db])
    assert missing.exit_code != 0
    assert "memory://none" in str(missing.exception)


@pytest.mark.slow
def test_a_desk_in_a_bucket(bucket: str, tmp_path: Path) -> None:
    """A step on a desk in a bucket writes there what it writes on the disk; a report goes there, too."""
    root = adr_train_desk.write(tmp_path / "desk", adr_train_desk.market(adrs=["ABC"]))
    fs, there = fsspec.core.url_to_fs(f"{bucket}/desk")
    fs.put(f"{root}/", f"{there}/", recursive=True)
    kairos = [sys.executable, "-c", "from kairos.cli import main; main()"]
    own = ["--set", f"adr.start={adr_train_desk.START}", "--set", f"adr.end={adr_train_desk.END}"]
    for desk in (str(root), f"{bucket}/desk"):
        command = [*kairos, "adr", "train", "--data", desk, "--workers", "1", *own]
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)
        assert done.returncode == 0, done.stderr
    fs.invalidate_cache()
    here = {path.relative_to(root).as_posix(): path.read_bytes() for path in (root / MODELS).rglob("*.*")}
    assert {name[len(there) + 1 :]: fs.cat_file(name) for name in fs.find(f"{there}/{MODELS}")} == here
    assert len(here) > 5
