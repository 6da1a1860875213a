"""Identifiers: UUIDv7 as text, which sort by the time they were made."""

import os
import time


def uuid7(milliseconds: int, randomness: bytes) -> str:
    """The UUIDv7 (RFC 9562) of a Unix time in milliseconds and ten random bytes."""
    value = (milliseconds & ((1 << 48) - 1)) << 80 | int.from_bytes(randomness[:10], "big")
    value = value & ~(0xF << 76) | 0x7 << 76  # version 7
    value = value & ~(0x3 << 62) | 0x2 << 62  # variant 10
    digits = f"{value:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def new_id() -> str:
    """A fresh UUIDv7 as text."""
    return uuid7(time.time_ns() // 1_000_000, os.urandom(10))
