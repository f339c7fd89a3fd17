"""Which addresses RUNE connects to, and how an address in a request is checked.

Nothing here asks a name server. The addresses to which a name resolves are checked by the same policy when the
connection is made, in `guarded_network`.
"""

import re
import socket
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Self
from urllib.parse import SplitResult, urlsplit

from rune.errors import AddressRefusedError, SettingsError

type Address = IPv4Address | IPv6Address
type Network = IPv4Network | IPv6Network

MAX_URL_CHARS = 2048
"""Limit of RUNE's specification for `backend_url`."""

# IPv6 as assigned by IANA today. `is_global` is wrong for some addresses outside of it (multicast, ::a.b.c.d,
# fec0::/10, 5f00::/16, 100:0:0:1::/64), which this excludes.
_ASSIGNED_IPV6 = IPv6Network("2000::/3")

# RFC 6052: the last 32 bits are an IPv4 address, to which a gateway connects.
_NAT64 = IPv6Network("64:ff9b::/96")

# Networks that `ipaddress.is_global` of CPython 3.13.0 calls global, and that RUNE refuses. IANA's special-purpose
# registries, read 2026-11: https://www.iana.org/assignments/iana-ipv4-special-registry and -ipv6-.
_REFUSED_NETWORKS: tuple[Network, ...] = (
    IPv4Network("192.0.0.0/24"),  # protocol assignments: .9 and .10 count as global
    IPv4Network("192.88.99.0/24"),  # former 6to4 relays
    IPv4Network("168.63.129.16/32"),  # Azure's wire server, reachable inside Azure only
    IPv6Network("2001::/23"),  # protocol assignments: Teredo, ORCHID, benchmarking
    IPv6Network("3fff::/20"),  # documentation
)

# A function's own machine and its link: Lambda's runtime API and credentials are reached there.
_OWN_NETWORKS: tuple[Network, ...] = (
    IPv4Network("0.0.0.0/8"),
    IPv4Network("127.0.0.0/8"),
    IPv4Network("169.254.0.0/16"),
    IPv6Network("::/127"),
    IPv6Network("fe80::/10"),
)

# One label of a name in DNS, or in a container network, where it may hold an underscore.
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST_NAME = re.compile(rf"(?:{_LABEL}\.)*{_LABEL}\.?", re.ASCII)
_PATH = re.compile(r"(?:/[A-Za-z0-9\-._~!$&'()*+,;=:@%]*)*", re.ASCII)
_QUERY = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,;=:@%/?]*", re.ASCII)
_MAX_HOST_CHARS = 253
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """Public addresses, and the networks that the operator adds.

    Attributes
    ----------
    allowed_networks
        Reachable although not public. The local stack allows loopback; on Lambda that is the runtime API's address.
    allows_public
        False for what may not leave the operator's own networks.
    """

    allowed_networks: tuple[Network, ...] = ()
    allows_public: bool = True

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the policy that allows the networks of a list such as "127.0.0.0/8, ::1/128".

        Raises
        ------
        SettingsError
            An entry is not a network, or has bits set after its prefix.
        """
        entries = [entry.strip() for entry in text.split(",")]
        return cls(tuple(_parse_network(entry) for entry in entries if entry))

    @classmethod
    def parse_on_aws(cls, text: str) -> tuple[Self, tuple[int, ...]]:
        """Return the policy of a list without what may never be allowed on AWS, and the numbers of those entries.

        A network that holds addresses of the function's own machine or link is none of the operator's, and neither
        is everything. Entries count from 1.

        Raises
        ------
        SettingsError
            As `parse`.
        """
        given = cls.parse(text).allowed_networks
        kept = tuple(network for network in given if not _holds_own(network))
        refused = tuple(number for number, network in enumerate(given, start=1) if _holds_own(network))
        return cls(kept), refused

    def allows(self, address: Address) -> bool:
        """Return whether RUNE may connect to the address.

        IPv4 inside IPv6 (mapped, NAT64) is checked as that IPv4 address, so that allowing an IPv6 network allows no
        IPv4 address.
        """
        address = _without_nat64(unmapped(address))
        if any(address in network for network in self.allowed_networks):
            return True
        return self.allows_public and _is_public(address)


def _holds_own(network: Network) -> bool:
    return any(network.version == own.version and network.overlaps(own) for own in _OWN_NETWORKS)


@dataclass(frozen=True, slots=True)
class BackendUrl:
    """A checked address of a model server.

    Attributes
    ----------
    url
        Normalised: lower-case scheme and host, no default port, no slash at the end.
    host
        Name or IP address, IPv6 without brackets.
    """

    url: str
    scheme: str
    host: str
    port: int


_API_VERSION = re.compile(r"\?api-version=[0-9A-Za-z.-]{1,40}\Z")


def parse_backend_url(url: str, policy: AddressPolicy, *, may_name_version: bool = False) -> BackendUrl:
    """Return the address of a model server, checked as far as possible without a name server.

    Parameters
    ----------
    may_name_version
        Whether it may have a query, which is `api-version=…` and nothing else (Azure).

    Raises
    ------
    AddressRefusedError
        It is not a plain http or https address, parsers could read it in two ways, or it is a numeric address (in
        any notation) that the policy does not allow.
    """
    names_version = may_name_version and _API_VERSION.search(url) is not None
    parts = _split(url, may_have_query=names_version)
    port = _port(parts)
    host = _checked_host(parts.hostname or "", policy)
    shown_host = f"[{host}]" if ":" in host else host
    shown_port = "" if port == _DEFAULT_PORTS[parts.scheme] else f":{port}"
    normalised = f"{parts.scheme}://{shown_host}{shown_port}{parts.path.rstrip('/')}"
    normalised += f"?{parts.query}" if names_version else ""
    return BackendUrl(url=normalised, scheme=parts.scheme, host=host, port=port)


def parse_receiver_url(url: str, policy: AddressPolicy) -> str:
    """Return the address of a receiver of events, checked as far as possible without a name server.

    Unlike a model server's it may have a query, and its path is kept as it is. It must be https, except in the
    networks that the operator allows: what is sent tells of the tenant's work.

    Raises
    ------
    AddressRefusedError
        As `parse_backend_url`, or http to where the operator allows nothing.
    """
    parts = _split(url, may_have_query=True)
    shown_port = "" if (port := _port(parts)) == _DEFAULT_PORTS[parts.scheme] else f":{port}"
    host = _checked_host(parts.hostname or "", receiver_policy(parts.scheme, policy))
    if parts.scheme == "http" and not policy.allowed_networks:
        raise AddressRefusedError("The address must begin with https://.")
    shown_host = f"[{host}]" if ":" in host else host
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme}://{shown_host}{shown_port}{parts.path or '/'}{query}"


def receiver_policy(scheme: str, policy: AddressPolicy) -> AddressPolicy:
    """Return to where a receiver's name may lead: without TLS only into the operator's own networks."""
    return replace(policy, allows_public=False) if scheme == "http" else policy


def numeric_address(host: str) -> Address | None:
    """Return the address that a host is in numbers, or None for a name.

    Parsed by the C library, which also connects: it reads 2130706433, 0x7f.1, 0177.0.0.1, 127.1 and circled digits
    as 127.0.0.1. With AI_NUMERICHOST it asks no name server.
    """
    try:
        answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (socket.gaierror, UnicodeError):
        return None
    return unmapped(ip_address(answers[0][4][0]))


def unmapped(address: Address) -> Address:
    """Return the IPv4 address inside ::ffff:a.b.c.d, or the address itself."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _without_nat64(address: Address) -> Address:
    if isinstance(address, IPv6Address) and address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def _is_public(address: Address) -> bool:
    # Not `is_private`: carrier-grade NAT (100.64.0.0/10) is neither private nor global. Reserved, 6to4 and
    # unspecified addresses are not global in CPython 3.13; tests check each of them.
    if not address.is_global or address.is_multicast:
        return False
    if isinstance(address, IPv6Address) and address not in _ASSIGNED_IPV6:
        return False
    return not any(address in network for network in _REFUSED_NETWORKS)


def _parse_network(entry: str) -> Network:
    try:
        return ip_network(entry)
    except ValueError as error:
        raise SettingsError(f"The allowed network {entry!r} is not a network: {error}.") from error


def _split(url: str, *, may_have_query: bool = False) -> SplitResult:
    if len(url) > MAX_URL_CHARS:
        raise AddressRefusedError(f"The address is longer than {MAX_URL_CHARS} characters.")
    # Before urlsplit, which silently removes tabs and line ends.
    if any(character.isspace() or not character.isprintable() for character in url):
        raise AddressRefusedError("The address may not hold spaces or control characters.")
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise AddressRefusedError("The address is not a URL.") from error
    if "[" in parts.netloc and ":" not in (parts.hostname or ""):  # [v1.x], reserved by RFC 3986
        raise AddressRefusedError("The address is not a URL.")
    if parts.scheme not in _DEFAULT_PORTS:
        raise AddressRefusedError("The address must begin with http:// or https://.")
    if "@" in parts.netloc:
        raise AddressRefusedError("The address may not hold a user name or a password.")
    # By the characters, since `parts` does not show an empty query or fragment.
    if "#" in url or ("?" in url and not may_have_query):
        raise AddressRefusedError(
            "The address may not have a fragment (#)."
            if may_have_query
            else "The address may not have a query (?) or a fragment (#)."
        )
    if not _PATH.fullmatch(parts.path):
        raise AddressRefusedError("The path of the address holds characters that a URL may not hold.")
    if not _QUERY.fullmatch(parts.query):
        raise AddressRefusedError("The query of the address holds characters that a URL may not hold.")
    return parts


def _port(parts: SplitResult) -> int:
    try:
        port = parts.port
    except ValueError as error:
        raise AddressRefusedError("The port of the address must be from 1 to 65535.") from error
    if port == 0:
        raise AddressRefusedError("The port of the address must be from 1 to 65535.")
    return port or _DEFAULT_PORTS[parts.scheme]


def _checked_host(host: str, policy: AddressPolicy) -> str:
    if not host:
        raise AddressRefusedError("The address names no host.")
    # Not with a zone (fe80::1%eth0), which the check would drop.
    address = None if "%" in host else numeric_address(host)
    if address is not None:
        if not policy.allows(address):
            raise address_refused(host)
        # In one notation from here on, so that no later parser reads another address.
        return str(address)
    if len(host) > _MAX_HOST_CHARS or not _HOST_NAME.fullmatch(host):
        raise AddressRefusedError("The host of the address is not a name in ASCII (write xn-- for others).")
    labels = host.removesuffix(".").split(".")
    if any(label.startswith("xn--") and not _is_punycode(label) for label in labels):
        raise AddressRefusedError("The host of the address has a part after xn-- that is not valid punycode.")
    # The URL Standard's "ends in a number" test: no browser takes 127.0.0.1. or 1.2.3.4.5 for a name, but some
    # resolvers read them as addresses.
    if labels[-1].isdigit() or re.fullmatch(r"0x[0-9a-f]*", labels[-1]):
        raise AddressRefusedError("The host of the address is a malformed IP address.")
    # RFC 6761, section 6.3: localhost and all names below it are loopback.
    if labels[-1] == "localhost" and not policy.allows(IPv4Address("127.0.0.1")):
        raise address_refused(host)
    return host


def _is_punycode(label: str) -> bool:
    """Return whether httpx can decode the label; if not, it raises an error that is not httpx's."""
    import idna  # noqa: PLC0415  # its tables take 10 ms to load, and few hosts need them

    try:
        idna.decode(label)
    except UnicodeError:
        return False
    return True


def address_refused(host: str) -> AddressRefusedError:
    """Return the refusal of a host; it names what the caller wrote, not the address that it resolved to."""
    return AddressRefusedError(f"{host!r} is in a network to which RUNE does not connect.")
