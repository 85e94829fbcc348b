"""The HTTP front: does what API Gateway does before it looks up a route.

The request line, the query and the names of headers are passed on as sent. What is not HTTP, or too large, is answered
here in API Gateway's JSON. No request occupies a thread, however slowly it arrives.
https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import re
import secrets
import socket
import ssl
import time
import traceback
from typing import Protocol
from urllib.parse import urlsplit

from local.accepting import Accepting
from local.connection import Connection, Received
from local.gateway import limits
from local.gateway.model import Request, Response
from local.identifier import request_id
from local.terminal import say, shown

_PROTOCOLS = ("HTTP/1.0", "HTTP/1.1")
_TOO_LARGE = {
    413: ": the body is larger than 10 MB, AWS's limit",
    414: ": the request line is larger than 10 KB, AWS's limit",
    431: ": the headers are larger than 10 KB, AWS's limit",
}
_LOCAL = ("localhost", "127.0.0.1", "::1")


class CannotListen(Exception):
    """The address cannot be used; the text says what to do."""


class Application(Protocol):
    """What is served."""

    async def answer(self, request: Request) -> Response:
        """The response to a request that the front has let through."""

    def refused(self, status: int, request: Request) -> Response:
        """The front's own refusal of a request: 400, 403 (another host), 413, 414, 431 or 500."""


class Server:
    """Serves an application at one address, `url`."""

    def __init__(self, host: str, port: int, tls_files: tuple[str, str] | None = None) -> None:
        """Listens on the port (0: a free one). `tls_files` are a certificate and its key. Raises CannotListen."""
        self._tls: ssl.SSLContext | None = None
        if tls_files:
            self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            try:
                self._tls.load_cert_chain(*tls_files)
            except OSError as error:
                raise CannotListen(f"cannot use the certificate {tls_files[0]} with {tls_files[1]}: {error}") from None
        try:
            family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            # Clients that connect at the same moment wait in the queue; beyond it the kernel has them try again later.
            self._socket = socket.create_server((address[0], port), family=family, backlog=512)
        except OverflowError:
            raise CannotListen(f"port {port} does not exist; a port is a number from 0 to 65535") from None
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise CannotListen(
                    f"port {port} is in use by another program; stop it, or take another port: "
                    f"./run.sh --port {port + 1}"
                ) from None
            raise CannotListen(f"cannot listen on {host}, port {port}: {error.strerror or error}") from None
        address = self._socket.getsockname()
        self._port: int = address[1]
        # Allowed in a Host header; None if any is. A page can point its own domain at this machine, but cannot send
        # these names (DNS rebinding).
        self._names = frozenset({*_LOCAL, host}) if ipaddress.ip_address(address[0]).is_loopback else None
        self.url = f"{'https' if tls_files else 'http'}://{f'[{host}]' if ':' in host else host}:{self._port}"

    async def serve(self, application: Application, until: asyncio.Event) -> None:
        """Serves until the event is set; requests that are still running are then cut off."""
        self._application = application
        accepting = Accepting(self._socket, self._tls, lambda: Connection(self._answer, accepting.open))
        await until.wait()
        accepting.end()
        for connection in [*accepting.open]:
            connection.cut_off()

    async def _answer(self, received: Received, client: str) -> tuple[Response, bool]:
        """The response, and whether it refuses the request."""
        started = time.perf_counter()
        request = self._request(received, client)
        status = self._status_of(request, received.malformed)
        try:
            if status:
                response = self._application.refused(status, request)
            else:
                response = await self._application.answer(request)
        except Exception as error:
            say("".join(traceback.format_exception(error)))
            say("500: an error in the local server itself; see above. The next request is served as usual.")
            status, response = 500, self._application.refused(500, request)
        took = (time.perf_counter() - started) * 1000
        note = _TOO_LARGE.get(status or 0, response.note)
        if not received.malformed or status != 400:
            line = f"{request.method} {shown(request.target)} {response.status} {took:.0f} ms{note}"
            say(f"{time.strftime('%H:%M:%S')} {line}")
        return response, status is not None

    def _request(self, received: Received, client: str) -> Request:
        seconds = time.time()
        sent = next((value for name, value in received.headers if name.lower() == "x-amzn-trace-id"), None)
        return Request(
            method=received.method,
            target=received.target,
            headers=received.headers,
            body=received.body,
            id=request_id(),
            extended_id=f"{secrets.token_urlsafe(11)}=",
            trace=sent or f"Root=1-{int(seconds):08x}-{secrets.token_hex(12)}",
            received=seconds,
            source_ip=client,
            scheme="https" if self._tls else "http",
            protocol=received.protocol,
            port=self._port,
        )

    def _status_of(self, request: Request, malformed: str | None) -> int | None:
        """The status that refuses the request, or None."""
        if len(request.method) + len(request.target) + 12 > limits.HEADERS:
            return 414
        if sum(len(name) + len(value) + 4 for name, value in request.headers) > limits.HEADERS:
            return 431
        hosts = [value for name, value in request.headers if name.lower() == "host"]
        if not malformed and request.protocol not in _PROTOCOLS:
            malformed = f"it is {request.protocol}"
        if not malformed and len(hosts) != 1 and (hosts or request.protocol != "HTTP/1.0"):
            malformed = "several Host headers" if hosts else "no Host header"
        authority = re.findall(r"^\w+://([^/?]*)", request.target)
        if not malformed and not all(map(_is_authority, authority)):
            malformed = request.target
        if malformed:
            say(f"400: malformed HTTP: {shown(malformed)}")
            return 400
        if len(request.body) > limits.BODY:
            return 413
        if self._names is None:
            return None
        for host in hosts + authority:
            if _name(host) not in self._names:
                named = f"the host {shown(host)}" if host else "a host without a name"
                say(f"403: the request is for {named}; to serve other hosts: ./run.sh --host 0.0.0.0")
                return 403
        return None


def _is_authority(text: str) -> bool:
    try:
        urlsplit(f"//{text}")
    except ValueError:
        return False
    return True


def _name(host: str) -> str:
    """The name in a Host header, in lower case, without the port."""
    name, _, port = host.rpartition(":")
    return (name if name and port.isdecimal() else host).strip("[]").lower()
