"""A server on this machine that answers like the vendor's service, and can be told to misbehave."""

from __future__ import annotations

import csv
import io
import json
import socket
import struct
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

KEY = "sEcReT-kEy_0123456789"
ROOT = "/api/v3/datatables/SHARADAR"

Trick = Callable[["Handler", "Call"], bool]
"""Answers a call in the service's place; False leaves it to the service."""


@dataclass(frozen=True)
class Call:
    """What reached a server."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]
    line: str

    @property
    def table(self) -> str:
        return self.path.rpartition("/")[2].partition(".")[0]

    @property
    def cursor(self) -> str | None:
        return self.query.get("qopts.cursor_id")

    @property
    def preview(self) -> bool:
        """The question whether the key may read the table."""
        return self.query.get("qopts.per_page") == "1"

    @property
    def export(self) -> bool:
        return self.query.get("qopts.export") == "true"


@dataclass
class Data:
    """One table: columns, and rows of the JSON text of each value."""

    columns: list[str]
    rows: list[list[str]]

    def since(self, query: dict[str, str]) -> list[list[str]]:
        rows = self.rows
        for name, value in query.items():
            if name.endswith(".gte"):
                place = self.columns.index(name.removesuffix(".gte"))
                rows = [row for row in rows if json.loads(row[place]) >= value]
        return rows

    def csv(self) -> bytes:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        for row in self.rows:
            values = [json.loads(value, parse_float=str, parse_int=str) for value in row]
            writer.writerow(["" if value is None else value for value in values])
        return text.getvalue().encode()

    def zip(self, name: str) -> bytes:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(zipfile.ZipInfo(f"SHARADAR_{name}_2_abc.csv"), self.csv())
        return packed.getvalue()


@dataclass
class Vendor:
    """The service and the host of its exports: what they have, what they were asked, how they misbehave."""

    tables: dict[str, Data] = field(default_factory=dict)
    denied: set[str] = field(default_factory=set)
    not_ready: int = 2
    ranges: bool = True
    etag: str | None = '"v1"'
    snapshot: str = "2024-01-31 22:00:00 UTC"
    calls: list[Call] = field(default_factory=list)
    host_calls: list[Call] = field(default_factory=list)
    tricks: list[Trick] = field(default_factory=list)
    host_tricks: list[Trick] = field(default_factory=list)
    links: int = 0
    asked: dict[str, int] = field(default_factory=dict)
    url: str = ""
    host: str = ""

    def table(self, name: str, columns: str, *rows: list[Any]) -> Data:
        """Add a table; values are Python ones, or ``Raw`` JSON."""
        texts = [
            [value.text if isinstance(value, Raw) else json.dumps(value) for value in row] for row in rows
        ]
        self.tables[name] = Data(columns.split(), texts)
        return self.tables[name]

    def pages(self, table: str) -> list[Call]:
        """Calls for pages of a table, without the preview."""
        return [c for c in self.calls if c.table == table and not c.preview and not c.export]


@dataclass(frozen=True)
class Raw:
    """A value as it stands in the JSON."""

    text: str


class Handler(BaseHTTPRequestHandler):
    """What both servers share."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    vendor: Vendor

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        call = Call(parts.path, query, {k.lower(): v for k, v in self.headers.items()}, self.requestline)
        kept, tricks = self.books()
        kept.append(call)
        for trick in list(tricks):
            if trick(self, call):
                return
        self.answer(call)

    def books(self) -> tuple[list[Call], list[Trick]]:
        raise NotImplementedError

    def answer(self, call: Call) -> None:
        raise NotImplementedError

    def reply(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def fail(self, status: int, code: str = "", message: str = "", **headers: str) -> bool:
        body = json.dumps({"quandl_error": {"code": code, "message": message}}) if code else "<html>no</html>"
        self.reply(status, body.encode(), **headers)
        return True

    def cut(self, body: bytes, length: int, keep: int, status: int = 200, **headers: str) -> bool:
        """Promise ``length`` bytes, send ``keep`` of them, and close."""
        self.reply(status, body[:keep], Content_Length=str(length), Connection="close", **headers)
        self.close_connection = True
        return True

    def reset(self) -> bool:
        """Break the connection without a word."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True
        self.wfile = io.BytesIO()
        return True

    def log_message(self, *_: Any) -> None:
        pass


class Service(Handler):
    """The tables API."""

    def books(self) -> tuple[list[Call], list[Trick]]:
        return self.vendor.calls, self.vendor.tricks

    def answer(self, call: Call) -> None:
        vendor = self.vendor
        if call.headers.get("x-api-token") != KEY:
            self.fail(400, "QEAx01", "We could not recognize your API key. Please check it.")
        elif call.table in vendor.denied:
            self.fail(403, "QEPx04", "You do not have permission to view this dataset.")
        elif call.table not in vendor.tables:
            self.fail(404, "QECx02", "You have submitted an incorrect code.")
        elif call.export:
            self.export(call)
        else:
            self.reply(200, self.page(call), Content_Type="application/json")

    def page(self, call: Call) -> bytes:
        data = self.vendor.tables[call.table]
        rows, size = data.since(call.query), int(call.query.get("qopts.per_page", 10_000))
        start = int(call.cursor.removeprefix("after-")) if call.cursor else 0
        here = ",".join(f"[{','.join(row)}]" for row in rows[start : start + size])
        after = f"after-{start + size}" if start + size < len(rows) else None
        columns = [{"name": name, "type": "String"} for name in data.columns]
        return (
            f'{{"datatable": {{"data": [{here}], "columns": {json.dumps(columns)}}}, '
            f'"meta": {{"next_cursor_id": {json.dumps(after)}}}}}'
        ).encode()

    def export(self, call: Call) -> None:
        vendor = self.vendor
        asked = vendor.asked[call.table] = vendor.asked.get(call.table, 0) + 1
        ready = asked > vendor.not_ready
        link = None
        if ready:
            vendor.links += 1
            link = f"{vendor.host}/exports/{call.table}.zip?signature={vendor.links}"
        file = {
            "link": link,
            "status": "fresh" if ready else "creating",
            "data_snapshot_time": vendor.snapshot if ready else None,
        }
        answer = {"datatable_bulk_download": {"file": file, "datatable": {"last_refreshed_time": None}}}
        self.reply(200, json.dumps(answer).encode())


class Host(Handler):
    """The host of the exports."""

    def books(self) -> tuple[list[Call], list[Trick]]:
        return self.vendor.host_calls, self.vendor.host_tricks

    def answer(self, call: Call) -> None:
        vendor = self.vendor
        body = vendor.tables[call.table].zip(call.table)
        marks = {"ETag": vendor.etag} if vendor.etag else {}
        wanted = call.headers.get("range")
        if not wanted or not vendor.ranges or call.headers.get("if-range", vendor.etag) != vendor.etag:
            self.reply(200, body, **marks)
            return
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if start >= len(body):
            self.reply(416, b"", Content_Range=f"bytes */{len(body)}")
        else:
            span = f"bytes {start}-{len(body) - 1}/{len(body)}"
            self.reply(206, body[start:], Content_Range=span, **marks)


def once(trick: Trick, when: Callable[[Call], bool] = lambda call: not call.preview, times: int = 1) -> Trick:
    """Play a trick on the first ``times`` calls of a kind."""
    left = [times]

    def play(handler: Handler, call: Call) -> bool:
        if left[0] and when(call):
            left[0] -= 1
            return trick(handler, call)
        return False

    return play


def slowly(seconds: float) -> Trick:
    """Let the service think for a while."""

    def play(handler: Handler, call: Call) -> bool:
        time.sleep(seconds)
        return False

    return play


@contextmanager
def serving(vendor: Vendor) -> Iterator[Vendor]:
    """Run the service and the host of its exports."""
    servers = []
    for kind in (Service, Host):
        server = ThreadingHTTPServer(("127.0.0.1", 0), type(kind.__name__, (kind,), {"vendor": vendor}))
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        servers.append(server)
    vendor.url = f"http://127.0.0.1:{servers[0].server_port}{ROOT}"
    vendor.host = f"http://127.0.0.1:{servers[1].server_port}"
    try:
        yield vendor
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


def data_of(file: Path) -> Data:
    """Read a CSV file as a table: what looks like a number is one."""
    with file.open(encoding="utf-8", newline="") as text:
        columns, *rows = csv.reader(text)
    return Data(columns, [[_json(value) for value in row] for row in rows])


def _json(value: str) -> str:
    if not value:
        return "null"
    try:
        json.loads(value)
    except ValueError:
        return json.dumps(value)
    return value if value[0] in "-0123456789" else json.dumps(value)
