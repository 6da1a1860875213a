"""Addresses of the web as callers write them, read once: what is checked is what is asked."""

import re
from collections.abc import Sequence

import httpx2

PORTS = {"http": 80, "https": 443}
_LONGEST = 8192
# Only what a name may consist of: a reader that sees another host in it than we do has nothing to go by.
_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:]*:[0-9a-f:.]*")


def read(text: str) -> httpx2.URL:
    """An address.

    Raises:
        ValueError: where it is none, or two readers might see different hosts in it. Says nothing of it.
    """
    if len(text) > _LONGEST or not text.isprintable() or set(text) & set("\\ "):
        raise ValueError
    try:
        url = httpx2.URL(text)
    except (httpx2.InvalidURL, ValueError):
        raise ValueError from None
    port_is_one = url.port is None or 0 < url.port < 1 << 16
    if url.userinfo or url.scheme not in PORTS or not port_is_one or not _HOST.fullmatch(host_of(url)):
        raise ValueError
    return url


def host_of(url: httpx2.URL) -> str:
    """The host, as it is looked up, and stands in certificates."""
    return url.raw_host.decode("ascii").lower().rstrip(".")


def matches(host: str, patterns: Sequence[str]) -> bool:
    """Whether a host is one of these; `*.example.com` is all below it."""
    return any(host.endswith(one[1:]) if one.startswith("*.") else host == one for one in patterns)
