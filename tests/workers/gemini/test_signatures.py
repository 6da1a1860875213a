"""Signatures that are kept for clients that drop them."""

from hypothesis import given
from hypothesis import strategies as st

from services.workers.gemini.signatures import Memory, Signatures, Signed


def test_a_signature_is_found_by_its_caller_its_model_and_its_call_alone() -> None:
    kept = Signatures()
    Memory(kept, "a", "m").keep_call("c", b"1")
    assert Memory(kept, "a", "m").call("c") == b"1"
    for tenant, model, call in (("b", "m", "c"), ("a", "n", "c"), ("a", "m", "d")):
        assert Memory(kept, tenant, model).call(call) == b""


def test_the_least_recently_used_is_forgotten_first() -> None:
    kept = Signatures(most_bytes=1000)
    memory = Memory(kept, "", "")
    for call in ("a", "b", "c"):
        memory.keep_call(call, b"x")
    assert memory.call("a") == b"x"
    memory.keep_call("d", b"x")
    assert [memory.call(call) for call in ("a", "b", "c", "d")] == [b"x", b"", b"x", b"x"]


def test_what_is_kept_twice_takes_room_once() -> None:
    kept = Signatures(most_bytes=1000)
    for _ in range(100):
        kept.keep(("", "", "a"), Signed(b"x", 0))
    assert kept.get(("", "", "a")) == Signed(b"x", 0)


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.binary(max_size=900))))
def test_no_more_is_kept_than_there_is_room_for(entries: list[tuple[str, bytes]]) -> None:
    kept = Signatures(most_bytes=2000)
    for call, signature in entries:
        kept.keep(("", "", call), Signed(signature, 0))
        found = [kept.get(("", "", one)) for one in "abcdef"]
        held = [one for one in found if one is not None]
        assert kept._bytes == sum(len(one.signature) + 301 for one in held) <= 2000
        assert len(held) == len(kept._kept)
