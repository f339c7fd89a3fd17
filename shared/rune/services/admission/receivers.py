"""Addresses to which events are to be posted, judged at the door."""

from rune.errors import AddressRefusedError, InvalidRequestError
from rune.net.addresses import AddressPolicy, parse_receiver_url


def check_receiver(url: str, policy: AddressPolicy, pointer: str) -> str:
    """Return the address in its one spelling; raises InvalidRequestError where RUNE does not post to it."""
    try:
        return parse_receiver_url(url, policy)
    except AddressRefusedError as error:
        raise InvalidRequestError(error.sentence, pointer=pointer, code=error.code) from error
