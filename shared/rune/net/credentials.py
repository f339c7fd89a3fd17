"""A key for a server that a caller chose: sent as a header, and shown nowhere."""

import re

import httpx

from rune.errors import InvalidRequestError

MAX_KEY_CHARS = 4096
"""Longest key. Servers refuse heads above 8 to 64 KB; real keys, also JSON web tokens, stay under 2 KB."""

# Visible ASCII. A line end would begin another header. The HTTP library's error quotes a value that it refuses, so
# no such value may reach it.
_SAFE_KEY = re.compile(r"[!-~]+")


def bearer_headers(api_key: str | None) -> httpx.Headers:
    """Return the headers that carry the key, none where there is no key; their repr hides it.

    Raises
    ------
    InvalidRequestError
        The key is empty, too long, or holds something other than visible ASCII; the sentence does not show it.
    """
    return key_headers(api_key, "Authorization")


def key_headers(api_key: str | None, name: str) -> httpx.Headers:
    """Return the same in a header of another name, as Azure (`api-key`) wants it, where the key stands alone.

    Raises
    ------
    InvalidRequestError
        As `bearer_headers`.
    """
    if api_key is None:
        return httpx.Headers()
    if len(api_key) > MAX_KEY_CHARS or not _SAFE_KEY.fullmatch(api_key):
        raise InvalidRequestError(
            f"The credential must be 1 to {MAX_KEY_CHARS} visible ASCII characters without spaces.",
            pointer="/backend_credential",
        )
    return httpx.Headers({name: f"Bearer {api_key}" if name == "Authorization" else api_key})
