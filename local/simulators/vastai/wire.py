"""Requests to Vast.ai's API and answers from it, free of any HTTP library."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType

type Json = dict[str, "JsonValue"]
type JsonValue = str | float | bool | list["JsonValue"] | Json | None

JSON_TYPE = "application/json"
"""Exactly this: the official client refuses a search whose type carries a charset."""

_NOTHING: Mapping[str, str] = MappingProxyType({})


class Delivery(StrEnum):
    """Whether an answer arrives."""

    NORMAL = "normal"
    DISCONNECTED = "disconnected"
    """The connection breaks without an answer."""
    HANG = "hang"
    """No answer ever comes; the connection stays open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VastRequest:
    """One request.

    Attributes
    ----------
    path
        Without the query, exactly as sent: slashes at the end matter.
    body
        Parsed JSON; None for a body that is empty or not JSON.
    authorization
        The header of that name.
    address
        Of the caller: searches are limited by it.
    base_url
        Address at which the caller reached the API, without a final slash; addresses of logs begin with it.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default=_NOTHING)
    body: object = None
    authorization: str | None = field(default=None, repr=False)
    address: str = "127.0.0.1"
    base_url: str = "http://vastai.invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class VastAnswer:
    """One answer; it is sent only with normal delivery."""

    status: int
    body: Json | str
    media_type: str = JSON_TYPE
    headers: Mapping[str, str] = field(default=_NOTHING)
    delivery: Delivery = Delivery.NORMAL

    def delivered(self, delivery: Delivery) -> "VastAnswer":
        """Return the same answer with another delivery."""
        return replace(self, delivery=delivery)


def success(**members: JsonValue) -> VastAnswer:
    """Return a 200 that says `success` first."""
    return VastAnswer(status=200, body={"success": True, **members})


def failure(status: int, error: str, message: str, **members: JsonValue) -> VastAnswer:
    """Return the usual envelope of a failure, whose status can be 200."""
    return VastAnswer(status=status, body={"success": False, "error": error, "msg": message, **members})


def plain(status: int, text: str, media_type: str = "text/plain", **headers: str) -> VastAnswer:
    """Return an answer that is not JSON; underscores in the names of headers become hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return VastAnswer(status=status, body=text, media_type=media_type, headers=named)
