"""The mark of a caller."""

import pathlib
from concurrent import futures

import pytest
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


def test_a_mark_tells_nothing_without_the_key(tmp_path: pathlib.Path) -> None:
    mark = Tenants.of_file(tmp_path / "one").mark("Bearer secret", "user")
    assert len(mark) == 32
    assert mark != Tenants.of_file(tmp_path / "other").mark("Bearer secret", "user")
    assert "secret" not in mark


def test_gateways_of_one_home_agree_now_and_after_a_restart(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "tenant.key"
    with futures.ThreadPoolExecutor(8) as gateways:
        marks = {tenants.mark("Bearer secret", "") for tenants in gateways.map(Tenants.of_file, [path] * 8)}
    assert marks == {Tenants.of_file(path).mark("Bearer secret", "")}
    assert list(tmp_path.iterdir()) == [path]


def test_the_key_is_for_its_user_alone(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "home" / "tenant.key"
    Tenants.of_file(path)
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    with pytest.raises(ValueError, match="chmod 600"):
        Tenants.of_file(path)


def test_what_is_no_key_is_refused_and_left_as_it_is(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "tenant.key"
    path.write_bytes(b"short")
    path.chmod(0o600)
    with pytest.raises(ValueError, match="remove it"):
        Tenants.of_file(path)
    assert path.read_bytes() == b"short"


def test_the_key_is_not_shown() -> None:
    assert "k3y" not in repr(Tenants(b"k3y"))
