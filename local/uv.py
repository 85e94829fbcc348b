"""Runs uv, which creates environments, installs packages and fetches Pythons."""

import os
import re
import subprocess
from pathlib import Path

# pip's variables, each with uv's two names for the same setting.
_PIPS = {
    "PIP_INDEX_URL": ("UV_DEFAULT_INDEX", "UV_INDEX_URL"),
    "PIP_EXTRA_INDEX_URL": ("UV_EXTRA_INDEX_URL", "UV_INDEX"),
}

_NETWORK = re.compile(
    "network|connect|dns|resolv(e|ing) (address|host)|timed out|fetch|download|proxy|offline|zip file|hashes", re.I
)


class InstallError(Exception):
    """Something could not be installed; the text is the installer's reason, in one line."""


def settings() -> dict[str, str]:
    """Environment variables for uv: pip's settings apply, and -e installs the package instead of a link to it."""
    found = {"UV_NO_EDITABLE": "1"}
    for pips, own in _PIPS.items():
        if os.environ.get(pips) and not any(map(os.environ.get, own)):
            found[own[0]] = os.environ[pips]
    return found


def run(uv: Path | str, *arguments: Path | str, holding: int, timeout: float | None = None, **variables: str) -> str:
    """What `uv ARGUMENTS` prints. `holding` is the descriptor of the lock. Raises InstallError.

    `timeout` is in seconds; `variables` are set in the environment.
    """
    try:
        done = subprocess.run(
            [uv, *arguments],
            env={**os.environ, **settings(), "UV_NO_PROGRESS": "1", "UV_HTTP_RETRIES": "1", **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            pass_fds=[holding],
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise InstallError(f"uv {arguments[0]} did not finish within {timeout:.0f} s") from None
    if done.returncode:
        raise InstallError(reason(done.stderr) or f"uv {arguments[0]} failed with {done.returncode}")
    return done.stdout


def reason(text: str) -> str:
    """The error in an installer's stderr as one line, without progress, warnings and ornaments."""
    lines = text.splitlines()
    first = next((number for number, line in enumerate(lines) if re.match(r"\s*(error:|ERROR:|×)", line)), 0)
    if any(line.startswith("Traceback ") for line in lines[first:]):  # pip's, when the disk is full
        lines, first = lines[-1:], 0
    plain = re.sub(r"[×╰─▶│├]+|\b(error|ERROR): |hint: ", " ", " ".join(lines[first:]))
    return re.sub(r"\s+", " ", plain).strip()


def advice(error: Exception, then: str) -> str:
    """What to do about an error whose text does not say so itself."""
    if "No space left" in str(error):
        return f"; free some space, then {then}"
    if _NETWORK.search(str(error)):
        return f"; check the network (or the proxy: HTTPS_PROXY), then {then}"
    return ""
