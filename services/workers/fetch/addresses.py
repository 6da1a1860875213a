"""Which addresses of the network are everybody's, and which might be something of ours."""

import ipaddress

# Python's `is_global` says yes to some of these, and each can lead back inside: multicast, relays and tunnels that
# carry an address within the address, documentation, and what clouds answer machines of theirs alone.
_NOT_PUBLIC_4 = tuple(
    map(
        ipaddress.IPv4Network,
        (
            "0.0.0.0/8",
            "100.64.0.0/10",
            "168.63.129.16/32",  # Azure's own
            "192.0.0.0/24",  # Oracle's metadata among them
            "192.88.99.0/24",
            "198.18.0.0/15",
            "224.0.0.0/3",
        ),
    )
)
# All addresses that were ever given out. Whatever is mapped (::ffff:0:0/96), translated (64:ff9b::/96, 64:ff9b:1::/48),
# local (fc00::/7, fe80::/10, fec0::/10) or multicast (ff00::/8) lies outside.
_GIVEN_OUT_6 = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC_6 = tuple(
    map(
        ipaddress.IPv6Network,
        (
            "2001::/23",  # Teredo among them
            "2001:db8::/32",
            "2002::/16",  # 6to4
            "3fff::/20",
        ),
    )
)


def is_public(text: str) -> bool:
    """Whether an address is one that everybody may ask: not private, local, shared, reserved, or a way to such."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global and not any(address in network for network in _NOT_PUBLIC_4)
    if address.scope_id or address not in _GIVEN_OUT_6 or not address.is_global:
        return False
    return not any(address in network for network in _NOT_PUBLIC_6)
