"""Which addresses only this host reaches."""

import ipaddress


def is_exposed(address: str) -> bool:
    """Whether others than this host reach who listens at `unix:PATH` or `HOST:PORT`."""
    return not address.startswith("unix:") and not is_loopback(address.rpartition(":")[0])


def is_loopback(host: str) -> bool:
    """Whether what listens on a host's name or address is reached from this machine alone."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
