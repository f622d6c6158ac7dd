"""Which addresses somebody may make the monitor reach: those of the public internet."""

from __future__ import annotations

import ipaddress

from tidemill.errors import UsageError

__all__ = ["AddressRefused", "refuse_unless_public"]


class AddressRefused(UsageError):
    """A channel's address leads into a network that it may not reach."""


def refuse_unless_public(address: str, host: str) -> None:
    """Make sure that an IP address is one of the public internet.

    Of IPv6 that is 2000::/3, whatever Python's release knows of the rest. Addresses that carry
    an IPv4 address within (mapped, 6to4, Teredo, NAT64) are judged by that one too.

    Raises
    ------
    AddressRefused
        If it is private, loopback, link-local, shared, reserved or multicast.

    >>> refuse_unless_public("::ffff:127.0.0.1", "example.org")
    Traceback (most recent call last):
    ...
    tidemill_monitor.public_addresses.AddressRefused: example.org is ::ffff:127.0.0.1, ...
    """
    found = ipaddress.ip_address(address.split("%")[0])
    if all(_is_public(one) for one in _forms(found)):
        return
    named = host if host == address else f"{host} is {address}, which"
    raise AddressRefused(
        f"{named} is not a public address",
        remedy="correct the channel's address, or set its allow_private: true in params.yaml",
        host=host,
        address=address,
    )


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    known = isinstance(address, ipaddress.IPv4Address) or address in _NAT64
    unicast = known or (address in _UNICAST and address not in _EXAMPLES)
    return unicast and address.is_global and not address.is_multicast


def _forms(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    inner = [address.sixtofour, *(address.teredo or ())]
    if address in _NAT64:
        inner.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return [address, *(one for one in inner if one is not None)]


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_UNICAST = ipaddress.IPv6Network("2000::/3")
_EXAMPLES = ipaddress.IPv6Network("3fff::/20")  # RFC 9637; younger than some Pythons
