"""The web service: calls, redirects, its words for what went wrong. The key is known here only.

The key travels in a header (X-Api-Token), never in an address, so that no address in a message, a log or a
redirect can carry it; it is sent to the host of ``base_url`` and to no other.
"""

from __future__ import annotations

import datetime as dt
import email.utils
import json
import os
import re
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import httpx

from kairos.equity.download.patience import PassingError
from kairos.errors import InputError, WorkError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from kairos.equity.download.patience import Patience
    from kairos.equity.vendor import VendorTable
    from kairos.settings.tree import Download

KEY = "NASDAQ_DATA_LINK_API_KEY"
"""The variable of the environment that holds the key."""

_T = TypeVar("_T")
_HOPS = 5
_SHOWN = 200
_DAILY = ("QELx01", "QELx02", "QELx03")
"""Codes of the limits per day, which no waiting within a run outlasts."""
_REDIRECTS, _TIMED_OUT, _TOO_MANY, _SERVER = 300, 408, 429, 500


class DeniedError(InputError):
    """A table that the key may not read, or that the service does not have."""


class RefusedError(WorkError):
    """A request that the service does not accept as it is, such as an outdated cursor."""


def key_of_environment() -> str:
    """Read the key.

    Raises
    ------
    InputError
        When the variable is not set, or holds what can't be a key; its content is not shown.
    """
    key = os.environ.get(KEY, "").strip()
    if not key:
        raise InputError(
            f"The variable {KEY} is not set. Put the key of your Nasdaq Data Link account into it: "
            f"export {KEY}=…"
        )
    if not re.fullmatch(r"[\x21-\x7e]+", key):
        raise InputError(f"The variable {KEY} holds blanks or signs that no key has. Copy the key again.")
    return key


def code(table: VendorTable) -> str:
    """Give the name under which the service and the vendor's users know a table."""
    return f"SHARADAR/{table.name.upper()}"


class Service:
    """Calls to the service, spaced and repeated; a context manager.

    Parameters
    ----------
    settings
        Address, time limits.
    key
        See :func:`key_of_environment`.
    patience
        How calls are spaced and repeated.
    """

    def __init__(self, settings: Download, key: str, patience: Patience) -> None:
        self._base = httpx.URL(settings.base_url.rstrip("/"))
        self._key = key
        self._http = httpx.Client(timeout=settings.timeout)
        self.patience = patience
        self.calls = 0

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def ask(self, table: VendorTable, params: Mapping[str, str], read: Callable[[Any], _T]) -> _T:
        """Ask for JSON about a table; failures that may pass are waited out.

        Parameters
        ----------
        table
            The table.
        params
            What stands behind the ``?``.
        read
            Takes the answer apart; raises :class:`PassingError` when it is not what it should be. Numbers
            reach it as the text that was sent.

        Raises
        ------
        InputError
            When the key is not known, or may not read the table (:class:`DeniedError`).
        WorkError
            When the service does not accept the request (:class:`RefusedError`) or does not recover.
        """
        url = self._base.copy_with(path=f"{self._base.path}/{table.name.upper()}.json")
        attempts = self.patience.attempts(code(table))
        while True:
            try:
                return read(self._json(table, url, params))
            except PassingError as failure:
                attempts.wait_after(failure)

    def _json(self, table: VendorTable, url: httpx.URL, params: Mapping[str, str]) -> Any:
        try:
            answer = self._get(url, params)
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise PassingError(self._without_key(_words(error))) from error
        if answer.status_code >= _REDIRECTS:
            self._raise_for(table, answer)
        try:
            return json.loads(answer.content, parse_float=str, parse_int=str, parse_constant=str)
        except ValueError as error:
            raise PassingError("the answer is no JSON, or was cut off") from error

    def _get(self, url: httpx.URL, params: Mapping[str, str]) -> httpx.Response:
        """Get an address, and follow redirects; the key goes no further than its own host."""
        headers = {"X-Api-Token": self._key, "Accept": "application/json"}
        query: Mapping[str, str] | None = params
        for _ in range(_HOPS):
            self._count()
            answer = self._http.get(url, params=query, headers=headers)
            if not answer.has_redirect_location:
                return answer
            url, query = answer.url.join(answer.headers["Location"]), None
            if _origin(url) != _origin(self._base):
                headers.pop("X-Api-Token", None)
        raise PassingError(f"more than {_HOPS} redirects")

    def _count(self) -> None:
        self.patience.take_turn()
        self.calls += 1

    def _raise_for(self, table: VendorTable, answer: httpx.Response) -> NoReturn:
        """Turn an answer that is none into the error that it means."""
        status = answer.status_code
        known, text = _complaint(answer)
        said = self._without_key(f"HTTP {status}" + (f", {known}: {text}" if known else ""))
        if known in _DAILY:
            raise WorkError(f"{code(table)}: the calls of the day are used up ({said}). Go on tomorrow.")
        if status in (_TIMED_OUT, _TOO_MANY) or status >= _SERVER:
            raise PassingError(said, retry_after(answer.headers))
        if known.startswith("QEA") or status == httpx.codes.UNAUTHORIZED:
            raise InputError(f"The service does not accept the key in {KEY} ({said}).")
        if known.startswith("QEP") or status == httpx.codes.FORBIDDEN:
            raise DeniedError(f"{table.name.upper()} is not in the subscription of the key ({said})")
        if known.startswith("QEC") or status == httpx.codes.NOT_FOUND:
            raise DeniedError(f"{table.name.upper()} is not known to the service ({said})")
        raise RefusedError(f"{code(table)}: the service does not accept the request ({said}).")

    def open(self, link: str, headers: Mapping[str, str]) -> AbstractContextManager[httpx.Response]:
        """Open a file of another host, without the key.

        Raises
        ------
        WorkError
            When the link is not as safe as the address of the service.
        """
        if not link.startswith(("https://", f"{self._base.scheme}://")):
            raise WorkError("The service gives a link that does not begin with https://.")
        self._count()
        wanted = {"Accept-Encoding": "identity", **headers}
        return self._http.stream("GET", link, headers=wanted, follow_redirects=True)

    def _without_key(self, text: str) -> str:
        """Clean what others wrote, for a message: one line, not too long, and without the key."""
        return " ".join(text.replace(self._key, "…").split())[:_SHOWN]


def chunks(answer: httpx.Response) -> Iterator[bytes]:
    """Give the body as it comes, in pieces of no fixed size: what came before a break is not lost.

    Raises
    ------
    PassingError
        When it breaks off.
    """
    try:
        yield from answer.iter_raw()
    except (httpx.TransportError, httpx.StreamError) as error:
        raise PassingError(_words(error)) from error


def retry_after(headers: Mapping[str, str], now: dt.datetime | None = None) -> float | None:
    """Read how long the service asks to wait, in seconds: a number, or a date.

    Examples
    --------
    >>> retry_after({"Retry-After": "12"})
    12.0
    >>> then = dt.datetime(2024, 1, 2, 12, tzinfo=dt.UTC)
    >>> retry_after({"Retry-After": "Tue, 02 Jan 2024 12:00:30 GMT"}, then)
    30.0
    >>> retry_after({"Retry-After": "soon"})
    """
    text = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d+)?", text):
        return float(text)
    try:
        until = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=dt.UTC)
    return max(0.0, (until - (now or dt.datetime.now(dt.UTC))).total_seconds())


def _complaint(answer: httpx.Response) -> tuple[str, str]:
    """Find the service's code and sentence in the body of an answer, if they are there."""
    try:
        body = answer.json()
    except ValueError:
        return "", ""
    said = body.get("quandl_error", body.get("error")) if isinstance(body, dict) else None
    if not isinstance(said, dict):
        return "", ""
    return str(said.get("code", "")), str(said.get("message", ""))


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _words(error: httpx.HTTPError | httpx.StreamError) -> str:
    """Say what happened to a connection; an address in the library's own words would only confuse."""
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    return f"the connection failed ({error or type(error).__name__})"
