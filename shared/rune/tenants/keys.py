"""Keys that RUNE sends to servers in a tenant's name: their form, and where they may travel."""

import re
from ipaddress import IPv4Address

from rune.errors import AddressRefusedError
from rune.net.addresses import AddressPolicy, BackendUrl, numeric_address, parse_backend_url
from rune.tenants.entries import EntryError

_KEY = re.compile(r"[!-~]{8,4096}")
"""What fits into a header. Not shorter: a key that is part of a word could not be kept out of an answer."""

_EVERYWHERE = AddressPolicy.parse("0.0.0.0/0, ::/0")


def read_url(url: str) -> BackendUrl:
    """Return an operator's address, judged by its shape alone: each request that uses it judges where it leads.

    Raises
    ------
    EntryError
        It is no plain http or https address.
    """
    try:
        return parse_backend_url(url, _EVERYWHERE)
    except AddressRefusedError as error:
        raise EntryError(error.sentence) from None


def check_key(api_key: str, url: BackendUrl, policy: AddressPolicy) -> None:
    """Refuse a key that cannot be sent, or would travel to the address in the clear.

    Raises
    ------
    EntryError
        It is none, or the address is plain http outside of the networks that the policy allows by number.
    """
    if not _KEY.fullmatch(api_key):
        raise EntryError("A key is 8 to 4096 visible ASCII characters without spaces.")
    if url.scheme != "https" and not _is_near(url.host, policy):
        raise EntryError("A key travels over https, or by number into a network that the operator allows.")


def _is_near(host: str, policy: AddressPolicy) -> bool:
    address = IPv4Address("127.0.0.1") if f".{host}".endswith(".localhost") else numeric_address(host)
    return address is not None and any(address in network for network in policy.allowed_networks)
