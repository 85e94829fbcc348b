"""Runs the steps that deploy.sh lists, all in one process, since most of a tool's time is its start.

Usage: python -m local.deploying STEPS [OPTION]...

STEPS    lines: "==> …" is printed, any other is a command, sam or one of COMMANDS, with arguments; $NAME is
         replaced with the environment variable NAME
OPTION   for `sam deploy`, except --verbose
"""

import logging
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from string import Template

from local.deploying import Failure, account, names, options
from local.deploying.terminal import Terminal


class Deployment:
    """One run of the steps: deploy.sh sets their order, and each may use what earlier ones found out."""

    def __init__(self, arguments: list[str], terminal: Terminal) -> None:
        self.terminal = terminal
        self.verbose = "--verbose" in arguments
        self.options = [argument for argument in arguments if argument != "--verbose"]
        self.stack = os.environ["STACK_NAME"]
        self.account = ""
        self.last_event = ""
        self.executed = True

    def run(self, steps: str) -> None:
        names.check(self.stack)
        if self.options and "sam deploy" not in steps:
            raise Failure(f"{self.options[0]} applies to a deployment only; see ./deploy.sh --help")
        options.check(self.options, self.stack)
        commands: dict[str, Callable[..., None]] = {
            "check": self.check,
            "account": self.identify,
            "prepare": self.prepare,
            "sam": self.sam,
            "tidy": self.tidy,
            "bucket": self.bucket,
            "url": self.url,
            "remove": self.remove,
        }
        for line in filter(None, map(str.strip, steps.replace("\\\n", " ").splitlines())):
            if line.startswith("==>"):
                self.terminal.step(Template(line).substitute(os.environ))
                continue
            command, *words = [Template(word).substitute(os.environ) for word in shlex.split(line)]
            commands[command](*words)

    def check(self, template: str) -> None:
        """Checks the template."""
        from local.deploying import template as checked

        checked.check(Path(template))

    def identify(self) -> None:
        """Finds out account, region and bucket, and prints them."""
        self.account, region = account.identify()
        if not os.environ.get("BUCKET"):
            os.environ["BUCKET"] = names.bucket(self.stack, self.account, region)
        bucket = os.environ["BUCKET"]
        self.terminal.say(f"==> Account {self.account}, region {region}, stack {self.stack}, bucket {bucket}")
        if why := names.uncovered(self.stack):
            self.terminal.say(f"    The pipeline's role does not cover the name {self.stack}: {why}")

    def prepare(self) -> None:
        """Removes a stack that an earlier failure left unusable."""
        from local.deploying import stack

        self.last_event = stack.prepare(self.stack, self.terminal.say)

    def sam(self, command: str, *words: str) -> None:
        """Runs `sam COMMAND`: a build without credentials, a deployment with the options and its progress shown."""
        from local.deploying import sam, stack
        from local.deploying.progress import Progress

        if command != "deploy":
            with account.without_credentials():
                return sam.run([command, *words], self.terminal, self.verbose)
        os.environ.setdefault("SAM_CLI_POLL_DELAY", "1")
        progress = Progress(self.terminal.say)
        # Its tables cut off names.
        output = [] if self.verbose else ["--output", "json"]
        try:
            sam.run([command, *words, *output, *self.options], self.terminal, self.verbose, output and progress or None)
        except Failure as failure:
            raise Failure(stack.explain(self.stack, self.last_event) or str(failure)) from failure
        self.executed = progress.executed

    def tidy(self, built: str) -> None:
        """Removes unneeded files from the build, and refuses what Lambda would refuse."""
        from local.deploying import artifact

        artifact.check(Path(built))

    def bucket(self) -> None:
        """Creates a missing bucket, and makes its settings safe."""
        from local.deploying import bucket

        bucket.prepare(os.environ["BUCKET"], self.account, self.terminal.say)

    def url(self, output: str) -> None:
        """Prints the value of the stack's output, alone on stdout."""
        from local.deploying import stack

        if not self.executed:
            return
        found = stack.outputs(self.stack)
        if output not in found:
            self.terminal.step(f"==> Deployed; the stack has no output {output}, so there is no URL to show")
            return
        self.terminal.step("==> Deployed; the endpoint:")
        self.terminal.end()
        print(found[output], flush=True)

    def remove(self) -> None:
        """Removes the stack, what was uploaded for it, and the bucket when nothing else is in it."""
        from local.deploying import bucket, stack

        stack.delete(self.stack, self.terminal.say)
        bucket.remove(os.environ["BUCKET"], self.account, self.stack, self.terminal.say)


def main(steps: str, arguments: list[str]) -> int:
    """Returns the exit status."""
    from botocore.exceptions import BotoCoreError, ClientError

    terminal = Terminal()
    # SAM CLI prints every library's notes; botocore's say which credentials it found.
    logging.getLogger("botocore").setLevel(logging.WARNING)
    try:
        Deployment(arguments, terminal).run(steps)
        return 0
    except Failure as failure:
        reason = str(failure)
    except (BotoCoreError, ClientError) as error:
        reason = f"AWS: {' '.join(str(error).split()).rstrip('.')}; run ./deploy.sh again once that is fixed"
    except KeyboardInterrupt:
        terminal.end()
        return 130
    finally:
        terminal.end()
    terminal.say(f"deploy.sh: {reason}")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
