"""Ids in AWS's form for what would get one from AWS; the same at every start."""

from __future__ import annotations

import hashlib

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def identifier(text: str, length: int) -> str:
    """Lower-case letters and digits derived from the text."""
    number, digits = int.from_bytes(hashlib.sha256(text.encode()).digest(), "big"), ""
    while len(digits) < length:
        number, digit = divmod(number, 36)
        digits += _DIGITS[digit]
    return digits


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
