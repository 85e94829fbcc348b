"""What passes between the HTTP server, the gateway and the engines. Plain values, no I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from local.identifier import trace

Kind = Literal["rest", "http"]
# ANY stands for these. https://docs.aws.amazon.com/apigateway/latest/developerguide/how-to-method-settings.html
METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")


@dataclass(frozen=True)
class Request:
    """An HTTP request as the client sent it, and what API Gateway adds to every request.

    `target` is the request target as sent, percent-encoded and with its query; `headers` keep order, repetition and
    case. `id` is the request id (a UUID), `extended_id` that of x-amz-apigw-id, `trace` the value of X-Amzn-Trace-Id,
    `received` the time in seconds since the epoch.
    """

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    id: str
    extended_id: str
    trace: str
    received: float
    source_ip: str = "127.0.0.1"
    scheme: Literal["http", "https"] = "http"
    protocol: str = "HTTP/1.1"
    port: int = 3000

    @cached_property
    def function_trace(self) -> str:
        """The trace header for the function, which a REST API also sends to the client."""
        return trace(self.trace, self.id, self.received)

    @property
    def path(self) -> str:
        """The path as sent, percent-encoded; the target may be an absolute URI."""
        path = self.target.partition("?")[0]
        if not path.startswith("/") and "://" in path:
            path = "/" + path.partition("://")[2].partition("/")[2]
        return path

    @property
    def query(self) -> str:
        """What follows the question mark, as sent."""
        return self.target.partition("?")[2]

    def header(self, name: str) -> str | None:
        """The first value of a header, whose name may be in any case; None without it."""
        name = name.lower()
        return next((value for sent, value in self.headers if sent.lower() == name), None)


@dataclass(frozen=True)
class Response:
    """What goes back to the client. `headers` keep order, repetition and case; `note` is for the terminal's line."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    note: str = ""


@dataclass(frozen=True)
class Authorizer:
    """A Lambda authorizer. `sources` are its identity sources as (place, name), such as ("header", "Authorization").

    Places are header, query, context and stage.
    """

    name: str
    function: str
    type: Literal["token", "request"]
    payload: Literal["1.0", "2.0"] = "1.0"
    sources: tuple[tuple[str, str], ...] = ()
    simple: bool = False  # the answer is {"isAuthorized": …} instead of a policy
    validation: str | None = None  # regular expression that a token must match


@dataclass(frozen=True)
class Cors:
    """Cross-origin settings of an API; None if the template has none."""

    origins: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    expose: tuple[str, ...] = ()
    credentials: bool = False
    max_age: int | None = None
    authorizer: Authorizer | None = None  # of the OPTIONS methods that a REST API generates


@dataclass(frozen=True)
class Route:
    """One method ("ANY" or a name in capitals) and path ("/items/{id}", "/{proxy+}", "$default") of an API.

    `function` is the full path of the function in the template: its logical id, after those of nested stacks.
    """

    method: str
    path: str
    function: str
    payload: Literal["1.0", "2.0"] = "1.0"
    authorizer: Authorizer | None = None
    operation: str | None = None
    api_key: bool = False
    required: tuple[tuple[str, str], ...] = ()  # parameters that a REST API asks for, such as ("query", "q")
    mock: Response | None = None  # what a `type: mock` integration answers; `function` is empty then


@dataclass(frozen=True)
class Api:
    """A REST API ("rest") or an HTTP API ("http") of the template. `id` is its logical id."""

    id: str
    kind: Kind
    stage: str
    routes: tuple[Route, ...]
    binary_types: tuple[str, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)
    cors: Cors | None = None
    region: str = "us-east-1"
    account: str = "123456789012"
