"""Pages of lists: limits, continue tokens, and what is left."""

import base64
import json
from collections.abc import Mapping
from typing import Any

from rune.kubernetes.recorded.documents import Document
from rune.kubernetes.recorded.statuses import bad_request, expired

_MAX_TOKEN_CHARS = 1_024
LIST_VERSION = "287113"
"""The version of every list: nothing changes."""


def key_of(document: Document) -> tuple[str, str]:
    """Return what lists are sorted by: the keys of etcd."""
    return document["metadata"].get("namespace", ""), document["metadata"]["name"]


def write_token(last: Document) -> str:
    """Return the token of what comes after an object."""
    namespace, name = key_of(last)
    start = f"{namespace}/{name}\u0000" if namespace else f"{name}\u0000"
    token = {"v": "meta.k8s.io/v1", "rv": int(LIST_VERSION), "start": start}
    return base64.urlsafe_b64encode(json.dumps(token, separators=(",", ":")).encode()).decode().rstrip("=")


def _read_token(text: str) -> tuple[str, str]:
    if len(text) > _MAX_TOKEN_CHARS:
        raise bad_request("continue key is not valid: it is too long")
    try:
        padded = text + "=" * (-len(text) % 4)
        token: Any = json.loads(base64.urlsafe_b64decode(padded))
        start, version = str(token["start"]).removesuffix("\u0000"), int(token["rv"])
    except (ValueError, KeyError, TypeError):
        raise bad_request(
            f"continue key is not valid: illegal base64 data or unknown version: {text[:60]}"
        ) from None
    namespace, _, name = start.rpartition("/")
    if version not in {int(LIST_VERSION), -1}:
        fresh = write_token({"metadata": {"namespace": namespace, "name": name}})
        raise expired(fresh)
    return namespace, name


def read_page(found: list[Document], query: Mapping[str, str]) -> tuple[list[Document], int]:
    """Return the page that a query means, and how many objects come after it."""
    text = query.get("limit", "")
    try:
        limit = int(text) if text else 0
    except ValueError:
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None
    if token := query.get("continue"):
        after = _read_token(token)
        found = [each for each in found if key_of(each) > after]
    if limit <= 0:
        return found, 0
    return found[:limit], max(0, len(found) - limit)
