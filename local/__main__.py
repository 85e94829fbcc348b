"""./run.sh: `sam local` with the engine that this machine has.

Usage: python -m local [--no-docker] [COMMAND] [option of sam local COMMAND]...
COMMAND is start-api unless it is named; the folder with template.yaml is the current one.
"""

from __future__ import annotations

import os
import sys

from local.terminal import never_wait

COMMANDS = ("start-api", "start-lambda", "invoke", "generate-event", "execution", "callback")


def main(arguments: list[str]) -> None:
    processes = "--no-docker" in arguments
    arguments = [argument for argument in arguments if argument != "--no-docker"]
    command = arguments.pop(0) if arguments and arguments[0] in COMMANDS else "start-api"
    if arguments and command not in ("invoke", "execution", "callback", "generate-event") and arguments[0][:1] != "-":
        sys.exit(f"run.sh: there is no command {arguments[0]}; see ./run.sh --help")
    os.environ["SAM_CLI_TELEMETRY"] = "0"
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    os.environ["__SAM_CLI_APP_DIR"] = os.path.abspath(".aws-sam")
    # SAM CLI asks its containers over HTTP, on this machine, where no proxy can help.
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), "127.0.0.1", "localhost"]))
    serves = command in ("start-api", "start-lambda", "invoke") and "--help" not in arguments
    if serves:
        # The template itself: SAM CLI would take what an earlier build has left in .aws-sam.
        if not _given(arguments, "-t", "--template", "--template-file", "--hook-name"):
            arguments += ["--template-file", "template.yaml"]
        if _given(arguments, "--profile"):
            print("The function gets your real AWS credentials, since --profile asks for them.", file=sys.stderr)

    if serves and command != "invoke":
        never_wait()

    from local import sam

    sam.run([command, *arguments], containers=not processes and serves and bool(sam.container_engine()))


def _given(arguments: list[str], *options: str) -> bool:
    return any(argument.split("=")[0] in options for argument in arguments)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:  # while it starts; a server ends by itself
        sys.exit(130)
