"""Links that open one document of a tenant for a short time, without a token; decisions only.

A browser's EventSource and a link in a page can send no header. A link stands in for a token there: its signature
holds for one target, which is a path or a path with its query, and until one moment. It is made with a key of the
tenant's own and of the token that asked for it (`rune.signing_keys`), so a link ends with that token, and with the
master key's version.
"""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Self

from rune.signing_keys import Purpose, SigningKeys
from rune.tenants.entries import TENANT

PARAMETER = "link"
"""Name of the member of the query that holds a link."""

NO_TOKEN = b""
"""Stands for the token where a deployment asks for none."""

# Separated by what stands in no tenant's name, and unescaped in a query.
_TEXT = re.compile(
    rf"(?P<version>[1-9][0-9]{{0,3}})~(?P<expires>[0-9]{{10}})~(?P<tenant>{TENANT.pattern})~"
    r"(?P<signature>[A-Za-z0-9_-]{43})"
)


@dataclass(frozen=True, slots=True)
class Link:
    """What a link says of itself. It is to be believed once `is_genuine` has said so.

    Attributes
    ----------
    key_version
        Of the master key.
    expires_at_seconds
        From when on it opens nothing, in seconds since 1970.
    """

    tenant: str
    key_version: int
    expires_at_seconds: int
    signature: str = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return the link in a query; None for what is none."""
        found = _TEXT.fullmatch(text)
        if found is None:
            return None
        return cls(found["tenant"], int(found["version"]), int(found["expires"]), found["signature"])

    @property
    def text(self) -> str:
        """What stands in the query. Who has it can open the document."""
        return f"{self.key_version}~{self.expires_at_seconds}~{self.tenant}~{self.signature}"

    def has_expired(self, now: datetime) -> bool:
        """Return whether its time is over."""
        return now.timestamp() >= self.expires_at_seconds


def sign(
    keys: SigningKeys, *, tenant: str, token_digest: bytes, target: str, expires_at_seconds: int
) -> Link | None:
    """Return a link to a target; None where there is no key."""
    version = keys.version
    if version is None:
        return None
    draft = Link(tenant, version, expires_at_seconds, signature="")
    signature = _signature(keys, draft, token_digest, target)
    return None if signature is None else replace(draft, signature=signature)


def is_genuine(link: Link, keys: SigningKeys, token_digests: Sequence[bytes], target: str) -> bool:
    """Return whether the link was made for this target, with one of the tenant's present tokens and keys."""
    expected = [_signature(keys, link, digest, target) for digest in token_digests]
    # All of them, so that the time tells nothing of which one matches.
    matches = [
        hmac.compare_digest(link.signature, signature) for signature in expected if signature is not None
    ]
    return any(matches)


def _signature(keys: SigningKeys, link: Link, token_digest: bytes, target: str) -> str | None:
    """Return what the link's signature must be; None where its version of the key is gone."""
    key = keys.derive(Purpose.LINK, link.key_version, link.tenant, token_digest.hex())
    if key is None:
        return None
    # As JSON, in which no two lists are the same text.
    signed = json.dumps(["GET", target, link.expires_at_seconds])
    digest = hmac.digest(key, signed.encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
