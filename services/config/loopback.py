"""Which addresses only this host reaches."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Whether what listens on a host's name or address is reached from this machine alone."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
