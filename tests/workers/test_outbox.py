"""Messages of a session."""

from google.rpc import code_pb2, status_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from services.workers.outbox import Outbox
from tests.fakes import delta


def test_what_is_there_at_one_moment_is_one_message() -> None:
    outbox = Outbox()
    assert not outbox
    for number in range(1000):
        event = delta("text")
        outbox.add(str(number), event, event.ByteSize())
    outbox.end("0", status_pb2.Status(code=code_pb2.INTERNAL))
    assert outbox
    assert len(outbox.take().events) == 1001
    assert not outbox


@settings(max_examples=20, deadline=None)
@given(st.lists(st.sampled_from([10, 1 << 20, 3 << 20, 5 << 20]), min_size=1, max_size=6))
def test_messages_stay_small_and_events_in_order(sizes: list[int]) -> None:
    outbox = Outbox()
    for number, size in enumerate(sizes):
        event = delta("x" * size)
        outbox.add(str(number), event, event.ByteSize())
    order = []
    while outbox:
        message = outbox.take()
        assert message.events
        assert message.ByteSize() <= max(4 << 20, *(size + 100 for size in sizes))
        order += [item.attempt_id for item in message.events]
    assert order == [str(number) for number in range(len(sizes))]
