"""./run.sh: `sam local` with the engine that this machine offers.

Usage: python -m local [OPTION]... [COMMAND] [OPTION]... [option of sam local COMMAND]...
Its own options: --no-docker, --platform-log, --stack NAME, --record DIRECTORY, --api-key KEY.
COMMAND defaults to start-api; the current folder is the one with template.yaml.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
from typing import NoReturn

from local.terminal import never_wait

COMMANDS = ("start-api", "start-lambda", "invoke", "generate-event", "execution", "callback")


def main(arguments: list[str]) -> None:
    parser = _options("--stack", "--record")
    for flag in ("--no-docker", "--platform-log"):
        parser.add_argument(flag, action="store_true")
    parser.add_argument("--api-key", action="append", default=[])
    own, arguments = parser.parse_known_args(arguments)
    command = arguments.pop(0) if arguments and arguments[0] in COMMANDS else "start-api"
    if arguments and command not in ("invoke", "execution", "callback", "generate-event") and arguments[0][:1] != "-":
        _fail(f"there is no command {arguments[0]}; see ./run.sh --help")
    os.environ["SAM_CLI_TELEMETRY"] = "0"
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    os.environ["__SAM_CLI_APP_DIR"] = os.path.abspath(".aws-sam")
    # SAM CLI talks to its containers over HTTP on this machine, which no proxy can reach.
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), "127.0.0.1", "localhost"]))
    serves = command in ("start-api", "start-lambda", "invoke") and "--help" not in arguments
    given, _ = _options("-t", "--template", "--template-file", "--hook-name", "--profile", "--region").parse_known_args(
        arguments
    )
    if serves and not (given.t or given.template or given.template_file or given.hook_name):
        # The source template: SAM CLI would prefer what an earlier build has left in .aws-sam.
        arguments += ["--template-file", "template.yaml"]
    if own.stack and not serves:
        _fail(f"--stack is for a command that runs functions, not for {command}; see ./run.sh --help")
    if own.record and command != "start-api":
        _fail(f"--record is for requests to the API; run it without {command}: ./run.sh --record {own.record}")
    if own.api_key and command != "start-api":
        _fail(f"--api-key is for requests to the API; run it without {command}")

    if serves and command != "invoke":
        never_wait()

    # What is imported stays; searching it for garbage again and again would take an eighth of the start.
    gc.disable()
    from local import aws, deployed, recording, sam

    gc.freeze()
    gc.enable()

    used = aws.of(os.environ, given.profile, given.region)
    if command == "invoke" and serves and (used.reachable or used.kept_out):
        print("\n".join(used.describe()), file=sys.stderr)
    try:
        found = deployed.find(own.stack, used) if own.stack else None
        recorder = recording.Recorder(own.record) if own.record else None
    except (deployed.NotFound, recording.CannotRecord) as error:
        _fail(str(error))
    sam.run(
        [command, *arguments],
        containers=serves and not own.no_docker and bool(sam.container_engine()),
        aws=used,
        deployed=found,
        recorder=recorder,
        keys=tuple(own.api_key),
        platform_log=own.platform_log,
    )


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        _fail(f"{message.removeprefix('argument ')}; see ./run.sh --help")


def _options(*names: str) -> _Parser:
    """A parser of these options that leaves all others alone."""
    parser = _Parser(add_help=False, allow_abbrev=False)
    for name in names:
        parser.add_argument(name)
    return parser


def _fail(reason: str) -> NoReturn:
    sys.exit(f"run.sh: {reason}")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:  # during the start; a running server handles it itself
        sys.exit(130)
