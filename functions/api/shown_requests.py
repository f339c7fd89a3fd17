"""A job's request as its callers see it again: as it was understood, without secrets, and not too long."""

import json
from typing import Any

LONGEST_WHOLE_CHARS = 20_000
"""A longer request is cut where it is shown: clients ask for a job every few seconds."""

LONGEST_TEXT_CHARS = 500
MOST_ITEMS = 10
"""Of each list in a request that is cut."""

_KEPT_IN_QUERIES = "api-version"
"""Part of Azure's addresses. What else stands in a query may be a signature or a key."""


def shown_request(request_json: str) -> tuple[dict[str, object], bool]:
    """Return a stored request to be shown, and whether long parts of it were cut."""
    document: dict[str, Any] = _without_secrets(json.loads(request_json))
    if len(request_json) <= LONGEST_WHOLE_CHARS:
        return document, False
    shown: dict[str, object] = _cut(document)
    return shown, True


def _without_secrets(value: Any, name: str = "") -> Any:  # noqa: ANN401  # any JSON
    if isinstance(value, dict):
        return {key: _without_secrets(member, key) for key, member in value.items()}
    if isinstance(value, list):
        return [_without_secrets(member) for member in value]
    return _plain_address(value) if name.endswith("url") and isinstance(value, str) else value


def _plain_address(address: str) -> str:
    """Return an address without user, fragment and query; admission refuses most of these, and may have changed."""
    if not any(mark in address for mark in "@?#"):
        return address
    from urllib.parse import parse_qsl, urlencode, urlsplit  # noqa: PLC0415  # few addresses have any of it

    parts = urlsplit(address)
    query = [(key, text) for key, text in parse_qsl(parts.query) if key == _KEPT_IN_QUERIES]
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=host, query=urlencode(query), fragment="").geturl()


def _cut(value: Any) -> Any:  # noqa: ANN401  # any JSON
    if isinstance(value, dict):
        return {key: _cut(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_cut(member) for member in value[:MOST_ITEMS]]
    if isinstance(value, str) and len(value) > LONGEST_TEXT_CHARS:
        return f"{value[:LONGEST_TEXT_CHARS]}…"
    return value
