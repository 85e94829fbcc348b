"""Ids in AWS's form for what would get one from AWS."""

from __future__ import annotations

import hashlib
import random

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def identifier(text: str, length: int) -> str:
    """Lower-case letters and digits derived from the text: the same at every start."""
    number, digits = int.from_bytes(hashlib.sha256(text.encode()).digest(), "big"), ""
    while len(digits) < length:
        number, digit = divmod(number, 36)
        digits += _DIGITS[digit]
    return digits


def request_id() -> str:
    """A random UUID. Those of Python ask the system for secrets, which takes ten times as long and is not needed."""
    digits = f"{random.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


def trace(sent: str, id: str, seconds: float) -> str:
    """The X-Ray trace header that Lambda gives to an untraced function, made from the one that the caller sent.

    `id` is the invoke's UUID, `seconds` its time since the epoch. The form is that of a REST API's answers in
    aws-lambda-dotnet, ApiGatewayResponseTestCases (run against AWS).
    https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
    """
    made = id.replace("-", "")
    fields = dict(part.strip().partition("=")[::2] for part in sent.split(";"))
    root = fields.get("Root") or f"1-{int(seconds):08x}-{made[:24]}"
    return f"Root={root};Parent={made[16:]};Sampled={fields.get('Sampled') or 0};Lineage=1:{made[:8]}:0"
