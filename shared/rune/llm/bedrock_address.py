"""How requests and results name Amazon Bedrock: by the address of a region's runtime."""

import re

from rune.errors import AddressRefusedError, InvalidRequestError
from rune.net.addresses import AddressPolicy, parse_backend_url

REGION = r"[a-z]{2,4}(?:-[a-z]+)+-\d{1,2}"
"""Pattern of a region's name."""

_HOST = re.compile(rf"bedrock-runtime\.({REGION})\.amazonaws\.com")
_EVERYWHERE = AddressPolicy.parse("0.0.0.0/0, ::/0")


def bedrock_url(region: str) -> str:
    """Return the address of Bedrock in a region, in its normal form."""
    return f"https://bedrock-runtime.{region}.amazonaws.com"


def bedrock_region(url: str) -> str | None:
    """Return the region of such an address; None for any other."""
    try:
        judged = parse_backend_url(url, _EVERYWHERE)
    except AddressRefusedError:
        return None
    found = _HOST.fullmatch(judged.host)
    return found[1] if found and judged.url == bedrock_url(found[1]) else None


def not_bedrocks(pointer: str) -> InvalidRequestError:
    """Return the refusal of an address that is not one of Bedrock's."""
    return InvalidRequestError(
        f"The address of Amazon Bedrock is {bedrock_url('<region>')}; it may be left out.",
        pointer=pointer,
        code="bedrock_url_invalid",
    )
