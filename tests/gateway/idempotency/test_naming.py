"""Names of requests."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.failure import Failure
from services.gateway.idempotency.naming import LONGEST, home, identity, name_of

TEXTS = st.text(max_size=20)


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=LONGEST))
def test_printable_names_are_taken(name: str) -> None:
    assert name_of(name) == name


@pytest.mark.parametrize("said", ["", "a b", "ä", "x" * (LONGEST + 1), "a\n", b"bytes", None])
def test_all_else_is_refused_by_the_header_s_name(said: str | bytes | None) -> None:
    with pytest.raises(Failure) as refused:
        name_of(said)
    assert refused.value.reason_name == "SPEC_INVALID"
    assert refused.value.metadata["field"] == "idempotency-key"


@given(st.tuples(TEXTS, TEXTS, TEXTS), st.tuples(TEXTS, TEXTS, TEXTS))
def test_no_caller_can_name_another_one_s_request(one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    def made(parts: tuple[str, str, str]) -> bytes:
        return identity(caller=parts[0], method=parts[1], name=parts[2])

    assert (made(one) == made(other)) == (one == other)


@given(st.binary(min_size=32, max_size=32), st.sets(st.sampled_from("abcdefgh"), min_size=2))
def test_whichever_gateway_is_asked_the_home_is_the_same_and_stays_when_another_goes(
    request_: bytes, names: set[str]
) -> None:
    chosen = home(request_, tuple(sorted(names)))
    assert home(request_, tuple(sorted(names, reverse=True))) == chosen
    other = min(names - {chosen})
    assert home(request_, tuple(names - {other})) == chosen
