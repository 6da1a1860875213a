"""The mark of a caller."""

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.tenant import Tenants

ANY = st.text()


@given(st.tuples(ANY, ANY), st.tuples(ANY, ANY))
def test_a_caller_has_one_mark_and_no_other_has_the_same(one: tuple[str, str], other: tuple[str, str]) -> None:
    tenants = Tenants(b"key")
    same = tuple(text.encode("utf-8", "replace") for text in one) == tuple(
        text.encode("utf-8", "replace") for text in other
    )
    assert (tenants.mark(*one) == tenants.mark(*other)) is same


def test_nothing_known_is_no_mark() -> None:
    assert Tenants(b"key").mark("", "") == ""


def test_a_mark_tells_nothing_without_the_key() -> None:
    mark = Tenants.random().mark("Bearer secret", "user")
    assert len(mark) == 32
    assert mark != Tenants.random().mark("Bearer secret", "user")
    assert "secret" not in mark


def test_the_key_is_not_shown() -> None:
    assert "k3y" not in repr(Tenants(b"k3y"))
