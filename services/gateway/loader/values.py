"""What is in a record as what is in a column. A batch has hundreds of thousands of values: each counts."""

import datetime
from collections.abc import Iterable

from asyncpg.pgproto import pgproto
from google.protobuf import timestamp_pb2
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper

# Names and labels; what is longer was made to be in the way.
MAX_TEXT = 1024
# A million dollars. What costs more is an error, and some thousands of those would overflow the sums of their hour.
MAX_NANO_USD = 10**15

_MAX_SIGNED = (1 << 63) - 1
_TWO_TO_64 = 1 << 64
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_DAY_MS = 86_400_000
# Ids name the months that the ledger has partitions for: nothing in a record may make them at will.
_FIRST_DAY = datetime.date(2020, 1, 1).toordinal() - datetime.date(1970, 1, 1).toordinal()
_DAYS_AHEAD = 2


class RecordInvalid(Exception):
    """A record that can never become rows."""


def uuid_of(text: str, name: str) -> pgproto.UUID:
    """A UUID.

    Raises:
        RecordInvalid: it is none.
    """
    try:
        return pgproto.UUID(text)
    except ValueError as error:
        raise RecordInvalid(f"{name} is no UUID") from error


def uuid_or_none(text: str, name: str) -> pgproto.UUID | None:
    """A UUID; None for an empty text.

    Raises:
        RecordInvalid: it is none.
    """
    return uuid_of(text, name) if text else None


def day_of(text: str, name: str, today: int) -> int:
    """The day in which a UUIDv7 was made, in days since 1970.

    Raises:
        RecordInvalid: it is no UUIDv7 in its usual form, or of a day before 2020 or more than two days after `today`.
    """
    if len(text) != 36 or text[14] != "7" or text[19] not in "89abAB":
        raise RecordInvalid(f"{name} is no UUIDv7")
    try:
        day = int(text[:8] + text[9:13], 16) // _DAY_MS
    except ValueError as error:
        raise RecordInvalid(f"{name} is no UUIDv7") from error
    if not _FIRST_DAY <= day <= today + _DAYS_AHEAD:
        raise RecordInvalid(f"{name} is of an absurd time")
    return day


def time_of(stamp: timestamp_pb2.Timestamp, name: str) -> datetime.datetime:
    """A moment.

    Raises:
        RecordInvalid: it is missing, or beyond the calendar.
    """
    seconds, nanos = stamp.seconds, stamp.nanos
    if not seconds and not nanos:
        raise RecordInvalid(f"{name} is missing")
    try:
        return _EPOCH + datetime.timedelta(0, seconds, nanos // 1000)
    except OverflowError as error:
        raise RecordInvalid(f"{name} is out of range") from error


def cost_of(nano_usd: int, name: str) -> int:
    """An amount in nano-USD.

    Raises:
        RecordInvalid: it is negative, or more than anything costs.
    """
    if not 0 <= nano_usd <= MAX_NANO_USD:
        raise RecordInvalid(f"{name} is out of range")
    return nano_usd


def text_of(text: str) -> str:
    """A name or label. PostgreSQL's text holds no NUL."""
    return text[:MAX_TEXT].replace("\0", "\ufffd")


def signed(values: Iterable[int]) -> list[int]:
    """64 bits each as PostgreSQL has them."""
    return [value - _TWO_TO_64 if value > _MAX_SIGNED else value for value in values]


class Words:
    """An enum's values as words."""

    def __init__(self, enum: EnumTypeWrapper, prefix: str, **words: str) -> None:
        """`words` has the names that have another word than their own in lower case."""
        known = {number: value.name.removeprefix(prefix) for number, value in enum.DESCRIPTOR.values_by_number.items()}
        self._words = {number: words.get(name, name.lower()) for number, name in known.items()}

    def __getitem__(self, value: int) -> str:
        """The word; of a newer writer's value its number."""
        return self._words.get(value, f"unknown_{value}")
