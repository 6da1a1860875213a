"""The proxy that the environment names for an address."""

import urllib.parse
import urllib.request


def proxy_of(url: str) -> str | None:
    """What HTTPS_PROXY, HTTP_PROXY or ALL_PROXY say, by the scheme; None without any, or where NO_PROXY has it."""
    parts = urllib.parse.urlsplit(url)
    if urllib.request.proxy_bypass(parts.netloc):
        return None
    proxies = urllib.request.getproxies()
    found = proxies.get(parts.scheme) or proxies.get("all")
    return found if not found or "://" in found else f"http://{found}"
