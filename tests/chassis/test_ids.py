"""UUIDv7."""

import uuid

from hypothesis import given, settings
from hypothesis import strategies as st

from services.chassis.ids import new_id, uuid7

_TIMES = st.integers(min_value=0, max_value=2**48 - 1)
_BYTES = st.binary(min_size=10, max_size=10)


@settings(deadline=None)  # a busy machine is no fault
@given(_TIMES, _BYTES)
def test_an_id_is_a_uuid_of_version_7(milliseconds: int, randomness: bytes) -> None:
    parsed = uuid.UUID(uuid7(milliseconds, randomness))
    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
    assert parsed.int >> 80 == milliseconds


@settings(deadline=None)  # a busy machine is no fault
@given(_TIMES, _TIMES, _BYTES, _BYTES)
def test_ids_sort_by_time(first: int, second: int, some: bytes, other: bytes) -> None:
    if first < second:
        assert uuid7(first, some) < uuid7(second, other)


def test_fresh_ids_differ() -> None:
    assert len({new_id() for _ in range(1000)}) == 1000
