"""Which endpoints a merchant may have messages sent to: decided before the first byte leaves.

A merchant chooses the URL, but our network sends the request: without these rules a merchant could make
the service call its own neighbours (server-side request forgery). The name is resolved once, every address
is checked, and the sender connects to one that was checked: a second lookup could answer differently.
"""

import enum
import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import httpx

Resolver = Callable[[str, int], Sequence[str]]
"""From host and port to addresses; raises OSError where the name cannot be resolved."""


class EndpointRule(enum.Enum):
    """The closed list of reasons to refuse an endpoint."""

    MALFORMED = "malformed"
    SCHEME = "scheme"
    USER_INFORMATION = "user-information"
    FRAGMENT = "fragment"
    HOST = "host"
    PORT = "port"
    UNSPECIFIED = "unspecified-address"
    LOOPBACK = "loopback-address"
    PRIVATE = "private-address"
    LINK_LOCAL = "link-local-address"
    CARRIER_NAT = "carrier-nat-address"
    MULTICAST = "multicast-address"
    RESERVED = "reserved-address"


class EndpointRefusedError(Exception):
    """The endpoint breaks a rule; trying again later changes nothing.

    The message holds no resolved address: it may be shown to the merchant, who must not learn from it
    what our name server says about our own network.
    """

    def __init__(self, rule: EndpointRule, detail: str) -> None:
        super().__init__(f"{detail} ({rule.value})")
        self.rule = rule


class EndpointUnresolvedError(Exception):
    """The host has no address at the moment; a later attempt may find one."""


@dataclass(frozen=True, kw_only=True)
class CheckedEndpoint:
    """An endpoint that may be connected to now; check it anew for each attempt.

    host: as TLS must prove it: in ASCII, without the brackets of an IPv6 address.
    target: path and query as they go on the wire.
    addresses: all that the host resolved to, every one checked, in the resolver's order.
    """

    scheme: str
    host: str
    port: int
    target: str
    addresses: tuple[str, ...]

    @property
    def authority(self) -> str:
        """The value of the Host header.

        >>> CheckedEndpoint(scheme="https", host="::1", port=8443, target="/", addresses=()).authority
        '[::1]:8443'
        """
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


_DEFAULT_PORTS = {"https": 443, "http": 80}
_HOST_NAME = re.compile(r"[A-Za-z0-9_.-]+")

# Written out instead of asking `ipaddress`: its notion of "private" differs between Python releases.
_REFUSED_IPV4 = [
    (IPv4Network(network), rule)
    for network, rule in (
        ("0.0.0.0/8", EndpointRule.UNSPECIFIED),
        ("10.0.0.0/8", EndpointRule.PRIVATE),
        ("100.64.0.0/10", EndpointRule.CARRIER_NAT),
        ("127.0.0.0/8", EndpointRule.LOOPBACK),
        ("169.254.0.0/16", EndpointRule.LINK_LOCAL),
        ("172.16.0.0/12", EndpointRule.PRIVATE),
        ("192.0.0.0/24", EndpointRule.RESERVED),
        ("192.0.2.0/24", EndpointRule.RESERVED),
        ("192.88.99.0/24", EndpointRule.RESERVED),
        ("192.168.0.0/16", EndpointRule.PRIVATE),
        ("198.18.0.0/15", EndpointRule.RESERVED),
        ("198.51.100.0/24", EndpointRule.RESERVED),
        ("203.0.113.0/24", EndpointRule.RESERVED),
        ("224.0.0.0/4", EndpointRule.MULTICAST),
        ("240.0.0.0/4", EndpointRule.RESERVED),
    )
]
_REFUSED_IPV6 = [
    (IPv6Network(network), rule)
    for network, rule in (
        ("::/128", EndpointRule.UNSPECIFIED),
        ("::1/128", EndpointRule.LOOPBACK),
        ("64:ff9b:1::/48", EndpointRule.PRIVATE),
        ("fc00::/7", EndpointRule.PRIVATE),
        ("fe80::/10", EndpointRule.LINK_LOCAL),
        ("fec0::/10", EndpointRule.PRIVATE),
        ("ff00::/8", EndpointRule.MULTICAST),
        ("2001::/23", EndpointRule.RESERVED),
        ("2001:db8::/32", EndpointRule.RESERVED),
        ("3fff::/20", EndpointRule.RESERVED),
    )
]
_GLOBAL_IPV6 = IPv6Network("2000::/3")

# An IPv4 address inside an IPv6 one, and how many bits stand to the right of it.
_EMBEDDING = [
    (IPv6Network("::ffff:0:0/96"), 0),
    (IPv6Network("64:ff9b::/96"), 0),
    (IPv6Network("2002::/16"), 80),
]


def check_endpoint(url: str, *, resolve: Resolver, allow_private_addresses: bool) -> CheckedEndpoint:
    """The endpoint with its checked addresses. Raises EndpointRefusedError and EndpointUnresolvedError.

    allow_private_addresses: for a merchant's system in our own network, and for tests; allows http too.
    """
    parsed = _parsed(url, allow_private_addresses=allow_private_addresses)
    # A trailing dot is right for the name server and wrong in TLS and in the Host header.
    host = parsed.raw_host.decode("ascii").removesuffix(".")
    if not _is_host(host):
        raise EndpointRefusedError(EndpointRule.HOST, "the endpoint names no usable host")
    port = _DEFAULT_PORTS[parsed.scheme] if parsed.port is None else parsed.port
    if not 1 <= port <= 65_535:
        raise EndpointRefusedError(EndpointRule.PORT, "the endpoint's port is not between 1 and 65535")
    try:
        addresses = tuple(resolve(host, port))
    except OSError as error:
        raise EndpointUnresolvedError(f"{host} cannot be resolved: {error}") from error
    if not addresses:
        raise EndpointUnresolvedError(f"{host} has no address")
    if not allow_private_addresses:
        for address in addresses:
            rule = broken_address_rule(address)
            if rule is not None:
                raise EndpointRefusedError(rule, f"{host} has an address that is not on the public internet")
    return CheckedEndpoint(
        scheme=parsed.scheme,
        host=host,
        port=port,
        target=parsed.raw_path.decode("ascii"),
        addresses=addresses,
    )


def broken_address_rule(address: str) -> EndpointRule | None:
    """The rule that forbids an address, None for a public one. Raises ValueError where it is no address.

    >>> broken_address_rule("169.254.169.254").value
    'link-local-address'
    >>> broken_address_rule("::ffff:10.0.0.1").value
    'private-address'
    >>> broken_address_rule("9.9.9.9") is None
    True
    """
    parsed = ip_address(address)
    return _broken_ipv4_rule(parsed) if isinstance(parsed, IPv4Address) else _broken_ipv6_rule(parsed)


def system_resolver(host: str, port: int) -> tuple[str, ...]:
    """The addresses that the operating system finds. Raises OSError where there are none."""
    # As bytes: a str goes through Python's IDNA codec, which raises UnicodeError where a label is too long.
    found = socket.getaddrinfo(host.encode("ascii"), port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(socket_address[0]) for *_, socket_address in found))


def _parsed(url: str, *, allow_private_addresses: bool) -> httpx.URL:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise EndpointRefusedError(EndpointRule.MALFORMED, "the endpoint is not a URL") from error
    if parsed.scheme != "https" and not (parsed.scheme == "http" and allow_private_addresses):
        raise EndpointRefusedError(EndpointRule.SCHEME, "the endpoint is not an https URL")
    if parsed.userinfo:
        raise EndpointRefusedError(
            EndpointRule.USER_INFORMATION, "the endpoint holds a user name or password"
        )
    # Asked of the text: the parser does not tell an empty fragment from none.
    if "#" in url:
        raise EndpointRefusedError(EndpointRule.FRAGMENT, "the endpoint holds a fragment")
    return parsed


def _is_host(host: str) -> bool:
    if ":" not in host:
        return _HOST_NAME.fullmatch(host) is not None
    try:
        # An address with a zone ("fe80::1%eth0") has a meaning on one machine only.
        return IPv6Address(host).scope_id is None
    except ValueError:
        return False


def _broken_ipv4_rule(address: IPv4Address) -> EndpointRule | None:
    return next((rule for network, rule in _REFUSED_IPV4 if address in network), None)


def _broken_ipv6_rule(address: IPv6Address) -> EndpointRule | None:
    for network, bits_after in _EMBEDDING:
        if address in network:
            return _broken_ipv4_rule(IPv4Address(int(address) >> bits_after & 0xFFFF_FFFF))
    for network, rule in _REFUSED_IPV6:
        if address in network:
            return rule
    return None if address in _GLOBAL_IPV6 else EndpointRule.RESERVED
