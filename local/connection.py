"""One client's connection: reads its requests, has them answered one after the other, and writes the answers.

llhttp (httptools) parses them, as strictly as it can. What is wrong with a request is told with it in `Received`, so
that it is answered in its turn.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import cast

import httptools

from local.gateway import limits
from local.gateway.model import Response

# Bytes of a head or of trailers that have not ended, beyond API Gateway's limits.
_FIELDS = 1024 * 1024

# Reading pauses while more requests, or more bytes of bodies, wait for an answer.
_AHEAD, _AHEAD_BYTES = 8, 1024 * 1024

# Seconds without a request after which a connection may be closed, if there are too many.
_IDLE_S = 0.25

# Seconds during which a client that has been refused may still send: if its connection were closed at once, it could
# lose the answer.
_LINGER_S = 2

# What the parser says of requests that people are likely to send by mistake, and what they need to know.
_EXPLAINED = {
    "Invalid char in url path": "characters beyond ASCII must be percent-encoded",
    "Invalid char in url query": "characters beyond ASCII must be percent-encoded",
    "Pause on PRI/Upgrade": "this is HTTP/2, and HTTP/1.1 is served",
}

# Characters of a malformed request that are shown.
_SHOWN = 80

_PHRASES = {status.value: status.phrase for status in HTTPStatus}


@dataclass
class Received:
    """A request as it was sent. `malformed` says why it is not HTTP; what has not arrived is empty then.

    A body is cut off a little above limits.BODY. `last` is whether the client wants the connection to end.
    """

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    protocol: str
    body: bytes
    last: bool
    malformed: str | None = None


class Connection(asyncio.Protocol):
    """`answer` makes a response of a request and the client's address, and says whether it is a refusal.

    A refusal ends the connection. While that is open, it is a key of `open`.
    """

    def __init__(
        self, answer: Callable[[Received, str], Awaitable[tuple[Response, bool]]], open: dict[Connection, None]
    ) -> None:
        self._answer, self._open = answer, open
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._target, self._body = b"", bytearray()
        self._headers: list[tuple[str, str]] = []
        self._fields = 0  # bytes since the message began or its body went on
        self._in_head = self._in_body = self._encouraged = False
        self._ignoring = False  # whatever still arrives
        self._client_done = False  # it sends no more
        self._requests: deque[Received] = deque()
        self._task: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()  # cleared while the client is slow to read
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._client: str = (transport.get_extra_info("peername") or ["127.0.0.1"])[0]
        self._used = time.monotonic()
        self._open[self] = None

    def data_received(self, data: bytes) -> None:
        self._used = time.monotonic()
        while data and not self._ignoring:
            data = self._parse(data)
        if self._in_body:
            self._encourage()
        waiting = len(self._requests) > _AHEAD or sum(len(one.body) for one in self._requests) > _AHEAD_BYTES
        if waiting and not self._ignoring:
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """A client that has finished sending still gets its answers; one that stops within a body gets 400."""
        self._client_done = True
        if self._in_body:
            self._fail("the body is incomplete")
        return bool(self._task) and not self._transport.get_extra_info("sslcontext")

    def connection_lost(self, _: Exception | None) -> None:
        self._ignoring = True
        self._requests.clear()
        self._open.pop(self, None)
        self._writable.set()
        del self._parser  # which refers to this object

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    @property
    def idle(self) -> bool:
        """Whether no request is being answered, no answer sent, and nothing has arrived for some time."""
        busy = self._task or self._transport.get_write_buffer_size()
        return not busy and time.monotonic() - self._used > _IDLE_S

    def cut_off(self) -> None:
        """Ends it at once."""
        self._transport.abort()
        if self._task:
            self._task.cancel()

    def _parse(self, data: bytes) -> bytes:
        """Returns what is still to be parsed."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            return self._without_upgrade() + data[upgrade.args[0] :]
        except httptools.HttpParserError as error:
            reason = _EXPLAINED.get(str(error), str(error))
            first = data.partition(b"\r\n")[0].decode(errors="replace")
            told = f"{reason}: {first[:_SHOWN]}" if self._in_head and not self._requests else reason
            self._fail("TLS was sent; use http:// instead of https://" if data[:2] == b"\x16\x03" else told)
        self._fields += len(data)
        if self._fields > _FIELDS and (self._in_head or self._in_body):
            self._fail(f"headers of more than {_FIELDS} bytes")
        return b""

    def _without_upgrade(self) -> bytes:
        """The head again: API Gateway upgrades nothing, and llhttp would leave out the body."""
        kept = [header for header in self._headers if header[0].lower() != "upgrade"]
        if len(kept) == len(self._headers):
            self._fail("CONNECT is for a proxy")
        first = f"{self._parser.get_method().decode()} {self._target.decode()} HTTP/{self._parser.get_http_version()}"
        self._parser = httptools.HttpRequestParser(self)
        return "\r\n".join([first, *(f"{name}: {value}" for name, value in kept), "\r\n"]).encode("latin-1")

    # What the parser calls:

    def on_message_begin(self) -> None:
        self._target, self._headers = b"", []  # it may be the same message again
        self._fields, self._in_head, self._encouraged = 0, True, False

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # trailers are no headers
            self._headers.append((name.decode("latin-1"), value.decode("latin-1").rstrip(" \t")))

    def on_headers_complete(self) -> None:
        self._in_head, self._in_body = False, True

    def on_body(self, data: bytes) -> None:
        self._fields = 0
        if len(self._body) <= limits.BODY:  # the rest is read and dropped, so that the client sees the answer
            self._body += data

    def on_message_complete(self) -> None:
        if self._parser.should_upgrade():
            return  # without its body, if it has one
        self._in_body = False
        last = not self._parser.should_keep_alive()
        if self._parser.get_http_version() == "1.0":
            # Whoever passed on chunks in this version may not have known their ends (RFC 9112, 6.1).
            last = last or "transfer-encoding" in {name.lower() for name, _ in self._headers}
        self._take(last)

    def _fail(self, why: str) -> None:
        if not self._ignoring:
            self._in_head = self._in_body = False
            self._take(True, why)

    def _take(self, last: bool, malformed: str | None = None) -> None:
        self._ignoring = last
        method = self._parser.get_method().decode() if self._target else ""  # else it is that of the request before
        target, protocol = self._target.decode("latin-1"), f"HTTP/{self._parser.get_http_version()}"
        headers, body = tuple(self._headers), bytes(self._body)
        self._requests.append(Received(method, target, headers, protocol, body, last, malformed))
        self._target, self._headers, self._body = b"", [], bytearray()
        if not self._task:
            self._task = self._loop.create_task(self._answer_all())

    async def _answer_all(self) -> None:
        while self._requests:
            request = self._requests.popleft()
            response, refused = await self._answer(request, self._client)
            if self._transport.is_closing():
                return
            last = refused or request.last or (self._client_done and not self._requests)
            self._write(request, response, last)
            if last:
                return self._end(linger=refused)
            await self._writable.wait()
            if self._requests:
                await asyncio.sleep(0)  # others have their turn
        self._task, self._used = None, time.monotonic()
        if self._transport.is_closing():
            return
        if self._client_done:
            return self._end()
        self._transport.resume_reading()
        if self._in_body:
            self._encourage()

    def _write(self, request: Received, response: Response, last: bool) -> None:
        lines = [f"HTTP/1.1 {response.status} {_PHRASES.get(response.status, '')}"]
        lines += [f"{name}: {value}" for name, value in response.headers]
        without_body = response.status in (204, 304)
        body = b"" if request.method == "HEAD" or without_body else response.body
        if not without_body:
            lines.append(f"Content-Length: {len(response.body)}")
        lines.append(f"Date: {_date(int(time.time()))}")
        if last or request.protocol == "HTTP/1.0":
            lines.append(f"Connection: {'close' if last else 'keep-alive'}")
        # Clients read ISO 8859-1, as HTTP says (RFC 9110, 5.5).
        self._transport.write("\r\n".join([*lines, "\r\n"]).encode("latin-1", "replace") + body)

    def _encourage(self) -> None:
        """Tells a client to go on that asks first, as curl does before a body of more than a megabyte."""
        if self._task or self._encouraged:
            return
        self._encouraged = True
        asked = ("expect", "100-continue") in {(name.lower(), value.lower()) for name, value in self._headers}
        if asked and not self._body and self._parser.get_http_version() == "1.1":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _end(self, linger: bool = False) -> None:
        self._ignoring, self._task, self._used = True, None, time.monotonic()
        self._requests.clear()
        if linger and not self._client_done and self._transport.can_write_eof():
            self._transport.write_eof()
            self._loop.call_later(_LINGER_S, self._transport.close)
        else:
            self._transport.close()


@functools.lru_cache(1)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)
