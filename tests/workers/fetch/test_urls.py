"""Addresses as callers write them."""

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.workers.fetch.urls import host_of, matches, read


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("https://a.test/x?y=1#z", "a.test"),
        ("HTTPS://A.Test.:8443", "a.test"),
        ("http://bücher.test/ä", "xn--bcher-kva.test"),
        ("https://[2606:4700::1111]/", "2606:4700::1111"),
        ("https://1.1.1.1", "1.1.1.1"),
    ],
)
def test_the_host_is_what_is_looked_up(text: str, host: str) -> None:
    assert host_of(read(text)) == host


@given(st.text(max_size=40) | st.text("/:@[]%.#?\\0127abx", max_size=20), st.sampled_from(["http://", "HTTPS://", ""]))
def test_an_address_is_refused_or_has_one_plain_host(rest: str, scheme: str) -> None:
    with contextlib.suppress(ValueError):
        url = read(scheme + rest)
        assert re.fullmatch(r"[a-z0-9._-]+|[0-9a-f:.]+", host_of(url))
        assert url.scheme in ("http", "https")
        assert url.copy_with(host="1.1.1.1").host == "1.1.1.1"


@pytest.mark.parametrize(
    ("host", "pattern", "fits"),
    [
        ("a.test", "a.test", True),
        ("b.a.test", "a.test", False),
        ("b.a.test", "*.a.test", True),
        ("c.b.a.test", "*.a.test", True),
        ("a.test", "*.a.test", False),
        ("ba.test", "*.a.test", False),
        ("a.test.evil.test", "a.test", False),
    ],
)
def test_a_pattern_fits_its_host_or_all_below_it(host: str, pattern: str, *, fits: bool) -> None:
    assert matches(host, [pattern]) is fits
