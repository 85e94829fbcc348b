"""Runs `sam build` and `sam deploy` in this process, since most of their time is their start.

Uses only SAM CLI's documented command line, and none of its internals.
"""

import contextlib
import io
import os
import re
import sys
from collections.abc import Callable

import click

from local import uv
from local.deploying import Failure
from local.deploying.terminal import Terminal

LOG = ".aws-sam/deploy.log"


def run(words: list[str], terminal: Terminal, verbose: bool, each_line: Callable[[str], None] | None = None) -> None:
    """Runs `sam WORDS`. `each_line` gets what it prints on stdout. Raises Failure with the reason in one line."""
    os.environ.update(uv.settings(), SAM_CLI_TELEMETRY="0")
    # --language-extensions, which has an effect only if Transform names AWS::LanguageExtensions.
    os.environ.setdefault("SAM_CLI_ENABLE_LANGUAGE_EXTENSIONS", "true")
    # For a pyproject.toml uv needs the template's Python, which need not be on PATH.
    os.environ["PATH"] += os.pathsep + os.path.dirname(os.path.realpath(".venv/bin/python"))
    from samcli.cli.main import cli

    # stdout is for the URL alone.
    hidden = contextlib.redirect_stdout(sys.stderr) if verbose else terminal.quiet(LOG)
    lines = contextlib.redirect_stdout(_Lines(each_line)) if each_line else contextlib.nullcontext()
    with hidden:
        try:
            with lines:
                cli(args=words, prog_name="sam", standalone_mode=False)
            return
        except click.exceptions.Abort:
            raise KeyboardInterrupt from None
        except click.ClickException as error:
            error.show()
            cause = str(getattr(error, "_exception", "") or error.format_message())
        except SystemExit as ended:
            if not ended.code:
                return
            cause = f"it ended with {ended.code}"
    raise Failure(f"sam {words[0]} failed: {reason(cause)}{'' if verbose else f'; its full output: {LOG}'}")


def reason(text: str) -> str:
    """The essence of an error of SAM CLI in one line; uv says what failed after "error:", and why after "cause:"."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    if found := re.search(r"(?:^|\n|failed: )error: ([^\n]+)(?:\n\s+cause: ([^\n]+))?", text):
        return _line(": ".join(filter(None, found.groups())))
    return _line(text.split("\n\n")[0])


def _line(text: str) -> str:
    return " ".join(text.split()).rstrip(".")


class _Lines(io.TextIOWrapper):
    """A text stream that hands every whole line to a function."""

    def __init__(self, each: Callable[[str], None]) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8")
        self._each, self._rest = each, ""

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._each(line)
        return len(text)
