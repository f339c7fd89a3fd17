"""Keys for signing, each derived from the one key that the operator made.

The master key signs nothing itself. Each purpose has keys of its own: what is signed for one is worth nothing for
another, and none of them tells the master key (HKDF-SHA256, RFC 5869).

The operator may write several versions, so that the key can be exchanged while what the old one signed is still in
use: the highest version signs, and each of them verifies.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, Self

SHORTEST_KEY_CHARS = 32

FIRST_VERSION = 1
"""The version of a key that is written without one."""

_ENTRY = re.compile(rf"(?:(?P<version>[1-9][0-9]{{0,3}}):)?(?P<key>[!-9;-~]{{{SHORTEST_KEY_CHARS},512}})")

_SALT = b"rune"


class Purpose(StrEnum):
    """What a key is for. The names are part of the keys and must not change."""

    LINK = "link"
    """Links that open one document without a token."""
    WEBHOOK = "webhook"
    """Secrets of webhook endpoints."""


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """The versions of the master key, none where the deployment has no key.

    Attributes
    ----------
    refused_count
        Entries that were not understood, and have no effect.
    """

    _masters: Mapping[int, bytes] = field(default_factory=dict, repr=False)
    refused_count: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the keys of an operator's text: `<key>`, or one `<version>:<key>` for each, with spaces between.

        A key is 32 to 512 visible ASCII characters without a colon, such as `openssl rand -base64 32` prints. Of
        two entries with one version neither counts: it would be unknown which of them had signed.
        """
        masters: dict[int, list[bytes]] = {}
        entries = text.split()
        for entry in entries:
            if found := _ENTRY.fullmatch(entry):
                version = int(found["version"] or FIRST_VERSION)
                masters.setdefault(version, []).append(found["key"].encode())
        kept = {version: keys[0] for version, keys in masters.items() if len(keys) == 1}
        return cls(kept, len(entries) - len(kept))

    @property
    def version(self) -> int | None:
        """The version that signs now; None without a key."""
        return max(self._masters, default=None)

    def derive(self, purpose: Purpose, version: int, *context: str) -> bytes | None:
        """Return the 32 bytes for a purpose, and for what the context names; None without that version.

        Parameters
        ----------
        context
            Such as an endpoint's id and the number of its secret. Each list of texts gives another key.
        """
        master = self._masters.get(version)
        if master is None:
            return None
        # The length before each part keeps ("ab", "c") apart from ("a", "bc").
        parts = [part.encode() for part in (purpose.value, *context)]
        info = b"".join(len(part).to_bytes(4) + part for part in parts)
        extracted = hmac.digest(_SALT, master, hashlib.sha256)
        return hmac.digest(extracted, info + b"\x01", hashlib.sha256)


class SigningKeySource(Protocol):
    """Where the keys of this moment are."""

    def current(self) -> SigningKeys:
        """Return the keys; raises SettingsUnavailableError if they cannot be known now."""
        ...


class NoSigningKeys(SigningKeySource):
    """For a deployment without a key."""

    def current(self) -> SigningKeys:
        """Return none."""
        return SigningKeys()
