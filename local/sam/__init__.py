"""SAM CLI, run as a library, and everything internal to it that this project relies on.

Written for aws-sam-cli 1.170.0, which requirements.txt pins; a test fails if a name moves. SAM CLI reads options and
functions, and runs containers; gateway, server and processes are ours. Before it reads a template, local/cloudformation
decides conditions and resolves intrinsic functions, few of which SAM CLI's own resolver supports. Nothing outside this
package refers to SAM CLI. What is replaced, and why:

- InvokeContext: reads the template again after a save, and turns what it reads into our values.
- LocalApiService, LocalLambdaService: our gateway and server take their place.
- SamTranslatorWrapper: takes a fifth of the start, and is not needed (light.py, which keeps out more of the kind).
- requests, as its containers use it: passes on the client context of an invoke (containers.py).
"""

from __future__ import annotations

import contextlib
import functools
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from local.sam import light  # before anything of SAM CLI

# isort: split
from samcli.cli.global_config import GlobalConfig
from samcli.cli.main import cli
from samcli.commands.exceptions import UserException
from samcli.commands.local.cli_common import invoke_context

from local.api import ApiGateway
from local.engine import CannotRun
from local.invoke_api import InvokeApi
from local.pool import Pool
from local.run import Run
from local.sam.containers import Containers
from local.sam.context import Context, Once
from local.sam.engine import container_engine
from local.server import CannotListen, Server

__all__ = ["container_engine", "run"]

_FAR_AWAY = 253402300799.0  # in the year 9999, seconds since the epoch
_QUIET = ("samcli.commands.local.lib", "samcli.lib.providers", "samcli.local.docker", "samcli.local.lambdafn")


def run(arguments: list[str], **options: Any) -> None:
    """Runs `sam local ARGUMENTS` and ends the process as sam does; `options` are those of context.Once."""
    once = Once(serves=arguments[0] != "invoke", **options)
    invoke_context.InvokeContext = functools.partial(Context, once)  # type: ignore[assignment, misc]
    light.replace("samcli.commands.local.lib.local_api_service", LocalApiService=_ApiService)
    light.replace("samcli.commands.local.lib.local_lambda_service", LocalLambdaService=_LambdaService)
    if not arguments[0].startswith("start-"):  # a server ends without checking for a newer SAM CLI
        GlobalConfig().last_version_check = _FAR_AWAY
    if "--debug" not in arguments:
        for name in _QUIET:
            logging.getLogger(name).setLevel(logging.ERROR)
    cli(args=["local", *arguments], prog_name="sam")


class _Service:
    """What SAM CLI's two services have in common: they serve until they are ended."""

    def __init__(
        self, lambda_invoke_context: Context, port: int, host: str, ssl_context: tuple[str, str] | None = None
    ) -> None:
        self._context = context = lambda_invoke_context
        functions = context.project.functions.values()
        alone = [f"{one.name} {one.container_only}" for one in functions if one.container_only]
        if not context.once.containers and alone and len(alone) == len(functions):
            raise UserException("\n".join(alone))
        with _told():
            self._run = Run(context, engine_of(context))
        self._address = (host, port, ssl_context)

    def _serve(self, application: Any, lines: Callable[[str], list[str]]) -> None:
        with _told():
            server = Server(*self._address)
            about = [*self._context.once.aws.describe(), *self._context.remarks]
            self._run.serve(application, server, [*self._run.engine.describe(), *about, *lines(server.url)])
        sys.exit()  # skips SAM CLI's advice on what to do next


class _ApiService(_Service):
    """Stands in for SAM CLI's LocalApiService."""

    def __init__(self, static_dir: str | None, disable_authorizer: bool, **options: Any) -> None:
        super().__init__(**options)
        once = self._context.once
        if disable_authorizer:
            once.authorize = False
            self._run.reading = self._context.again()
        static = Path(self._context.get_cwd(), static_dir or "public")
        with _told():
            self._gateway = ApiGateway(self._run, static if static.is_dir() else None, once.recorder, once.keys)

    def start(self) -> None:
        self._serve(self._gateway, self._gateway.describe)


class _LambdaService(_Service):
    """Stands in for SAM CLI's LocalLambdaService."""

    def start(self) -> None:
        api = InvokeApi(self._run)
        self._serve(api, api.describe)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Reports in one line what keeps a server from starting."""
    try:
        yield
    except (CannotListen, CannotRun) as error:
        raise UserException(str(error)) from None


def engine_of(context: Context) -> Callable[[Run], Any]:
    """Returns what makes the engine of a run."""
    if context.once.containers:
        return Containers
    functions = context.project.functions.values()
    runtimes = [function.runtime for function in functions if not function.container_only]
    return lambda _: Pool(context.stderr.stream.buffer, runtimes, context.once.platform_log)
