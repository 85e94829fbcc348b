"""Ids of AWS's form for what AWS would give an id to, the same at every start."""

from __future__ import annotations

import hashlib

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def identifier(text: str, length: int) -> str:
    """Lower-case letters and digits that stand for the text."""
    number, digits = int.from_bytes(hashlib.sha256(text.encode()).digest(), "big"), ""
    while len(digits) < length:
        number, digit = divmod(number, 36)
        digits += _DIGITS[digit]
    return digits
