"""Times as the ledger has them, whole microseconds. Pure."""

from google.protobuf import timestamp_pb2

_MILLION = 1_000_000


def stamp(seconds: float) -> timestamp_pb2.Timestamp:
    """A time in seconds since 1970. To the microsecond: times that are charged are differences of these."""
    return _of_micros(int(seconds * 1e6))


def stamp_after(begin: timestamp_pb2.Timestamp, microseconds: int) -> timestamp_pb2.Timestamp:
    """So much after another one."""
    return _of_micros(begin.seconds * _MILLION + begin.nanos // 1000 + microseconds)


def _of_micros(microseconds: int) -> timestamp_pb2.Timestamp:
    # Several for each request, and the message's own methods take three times as long.
    seconds, rest = divmod(microseconds, _MILLION)
    return timestamp_pb2.Timestamp(seconds=seconds, nanos=rest * 1000)
