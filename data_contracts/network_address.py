"""Network addresses as shops pass them on: with a port, in brackets, or as the list of who forwarded them."""

import ipaddress

_OCTET = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_V4 = rf"{_OCTET}(\.{_OCTET}){{3}}"
_H = "[0-9a-fA-F]{1,4}"
_V6 = (
    f"(({_H}:){{7}}{_H}|({_H}:){{1,7}}:|({_H}:){{1,6}}:{_H}|({_H}:){{1,5}}(:{_H}){{1,2}}|({_H}:){{1,4}}(:{_H}){{1,3}}"
    f"|({_H}:){{1,3}}(:{_H}){{1,4}}|({_H}:){{1,2}}(:{_H}){{1,5}}|{_H}:((:{_H}){{1,6}})|:((:{_H}){{1,7}}|:)"
    f"|::([fF]{{4}}(:0{{1,4}})?:)?{_V4}|({_H}:){{1,5}}:{_V4}|({_H}:){{6}}{_V4})"
)
_ONE = rf"({_V4}(:[0-9]{{1,5}})?|{_V6}|\[{_V6}\](:[0-9]{{1,5}})?|unknown)"
NETWORK_ADDRESSES_PATTERN = f" *{_ONE}( *, *{_ONE})* *"
"""One address or a list of them, as in X-Forwarded-For; the first is the device's."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_OF_ONE_SITE_V6 = tuple(
    ipaddress.IPv6Network(network) for network in ("::/127", "fc00::/7", "fe80::/9", "ff00::/8")
)


def first_public_address(text: str | None) -> Address | None:
    """The first address that is not of one site or machine alone; None where there is none.

    Addresses in documentation, and of a carrier's own network, are as good as any.

    >>> first_public_address("1.2.3.4:8080"), first_public_address("10.0.0.1, 1.2.3.4, 5.6.7.8")
    (IPv4Address('1.2.3.4'), IPv4Address('1.2.3.4'))
    >>> first_public_address("[2001:db8::1]:443"), first_public_address("::ffff:1.2.3.4")
    (IPv6Address('2001:db8::1'), IPv4Address('1.2.3.4'))
    >>> [first_public_address(text) for text in ("192.168.1.7", "::1", "fe80::1", "unknown", None)]
    [None, None, None, None, None]
    """
    for written in (text or "").split(","):
        address = _parsed(written.strip())
        if address is not None and not _is_of_one_site(address):
            return address
    return None


def _parsed(written: str) -> Address | None:
    if written.startswith("["):
        written = written[1:].partition("]")[0]
    elif written.count(":") == 1:
        written = written.partition(":")[0]
    try:
        address = ipaddress.ip_address(written)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return address if mapped is None else mapped


def _is_of_one_site(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        return any(address in network for network in _OF_ONE_SITE_V6)
    first, second = address.packed[0], address.packed[1]
    if first in {0, 10, 127} or first >= 224:
        return True
    return (first, second) in {(169, 254), (192, 168)} or (first == 172 and 16 <= second < 32)
