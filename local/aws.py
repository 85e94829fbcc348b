"""Which AWS the functions call, as whom, and in which region.

An endpoint on this machine is an emulated AWS, for which placeholder credentials will do. Any other endpoint in the
shell's variables could be anybody's, and is not passed on. Functions get real credentials only with --profile.
https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from local.terminal import shown

# AWS_ENDPOINT_URL is for all services, AWS_ENDPOINT_URL_DYNAMODB for one.
ENDPOINT = "AWS_ENDPOINT_URL"
_IGNORE = "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"
_REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")


@dataclass(frozen=True)
class Aws:
    """`endpoints` are the endpoint variables that are passed to functions, `kept_out` those that are not."""

    region: str
    profile: str | None = None
    endpoints: Mapping[str, str] = field(default_factory=dict)
    kept_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def reachable(self) -> bool:
        """Whether functions have an AWS to call."""
        return bool(self.profile or self.endpoints)

    @property
    def place(self) -> str:
        """Where it is: "http://127.0.0.1:4566, region us-east-1"."""
        return f"{self.endpoints.get(ENDPOINT) or f'profile {self.profile}'}, region {self.region}"

    def describe(self) -> list[str]:
        """Lines for the start."""
        lines = [
            f"{name} is not passed to functions, since {shown(_host(url))} is not this machine; "
            f"to use an emulated AWS here: export {name}=http://127.0.0.1:4566"
            for name, url in self.kept_out.items()
        ]
        where = [
            f"the AWS at {url}" if name == ENDPOINT else f"{name.removeprefix(f'{ENDPOINT}_')} at {url}"
            for name, url in self.endpoints.items()
        ]
        if where:
            lines.append(f"Functions call {', '.join(where)} (region {self.region})")
        if self.profile:
            lines.append(f"Functions have your AWS credentials from the profile {self.profile} (region {self.region})")
        elif ENDPOINT not in self.endpoints:
            lines.append("Functions have placeholder credentials; --profile NAME gives yours")
        return lines


def of(environment: MutableMapping[str, str], profile: str | None, region: str | None) -> Aws:
    """Reads the environment of ./run.sh. Sets the region in it, and removes endpoints that are not passed on.

    `profile` and `region` are those of the command line.
    """
    named = {name: url for name, url in sorted(environment.items()) if name == ENDPOINT or name[:17] == f"{ENDPOINT}_"}
    named = {name: url for name, url in named.items() if url}
    if environment.get(_IGNORE, "").lower() == "true":
        kept, out = {}, {}
    else:
        kept = {name: url for name, url in named.items() if is_local(url)}
        out = {name: url for name, url in named.items() if name not in kept}
    for name in named.keys() - kept.keys():
        del environment[name]
    theirs = environment.pop("AWS_PROFILE", None)
    region = region or next((environment[name] for name in _REGIONS if environment.get(name)), None)
    region = region or _region_of(profile or theirs) or "us-east-1"
    environment.update(dict.fromkeys(_REGIONS, region))
    return Aws(region, profile, kept, out)


def is_local(url: str) -> bool:
    """Whether an address names this machine."""
    host = _host(url)
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or url
    except ValueError:
        return url


def _region_of(profile: str | None) -> str | None:
    from botocore.exceptions import BotoCoreError
    from botocore.session import Session

    try:
        return Session(profile=profile).get_config_variable("region")
    except BotoCoreError:  # no such profile, or a file that cannot be read
        return None
