"""Links that open one document without a token: given out, and checked."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from rune.clock import Clock
from rune.contracts.links import LinkTargetName
from rune.errors import LinkExpiredError, SigningKeyMissingError
from rune.jobs.record import Kind
from rune.signing_keys import SigningKeySource
from rune.tenants.links import PARAMETER, Link, is_genuine, sign

PATHS: Mapping[LinkTargetName, str] = {
    "job": "/v1/jobs/{job_id}",
    "events": "/v1/jobs/{job_id}/events",
    "report": "/v1/benchmarks/{job_id}",
}
"""What a link can open. A new document is a line here, and a word in `LinkTargetName`."""

KINDS: Mapping[LinkTargetName, tuple[Kind, ...]] = {"report": (Kind.BENCHMARK,)}
"""The kinds of jobs that have the document, where not all do."""

_LINKABLE = re.compile("|".join(re.escape(path).replace(r"\{job_id\}", "[^/]+") for path in PATHS.values()))


def is_linkable(path: str) -> bool:
    """Return whether a link may open what is at the path. At all others links count for nothing."""
    return _LINKABLE.fullmatch(path) is not None


@dataclass(frozen=True, slots=True)
class SignedLink:
    """A link as it is given out.

    Attributes
    ----------
    url
        Path and query. Who has it can read the document until `expires_at`.
    """

    url: str = field(repr=False)
    expires_at: datetime


class LinkService:
    """The one signer of links."""

    def __init__(self, keys: SigningKeySource, clock: Clock) -> None:
        self._keys = keys
        self._clock = clock

    def make(self, path: str, lifetime: timedelta, *, tenant: str, token_digest: bytes) -> SignedLink:
        """Return a link to a path of the tenant's.

        Parameters
        ----------
        token_digest
            Of the token with which the caller came: the link ends with it.

        Raises
        ------
        SigningKeyMissingError
            The deployment has no key.
        SettingsUnavailableError
            The key cannot be read now.
        """
        expires_at_seconds = int((self._clock.now() + lifetime).timestamp())
        link = sign(
            self._keys.current(),
            tenant=tenant,
            token_digest=token_digest,
            path=path,
            expires_at_seconds=expires_at_seconds,
        )
        if link is None:
            raise SigningKeyMissingError
        return SignedLink(f"{path}?{PARAMETER}={link.text}", datetime.fromtimestamp(expires_at_seconds, UTC))

    def opens(self, link: Link, token_digests: Sequence[bytes], path: str) -> bool:
        """Return whether the link was made for the path, with one of these tokens.

        Raises
        ------
        LinkExpiredError
            It was, and its time is over.
        SettingsUnavailableError
            The key cannot be read now.
        """
        if not is_genuine(link, self._keys.current(), token_digests, path):
            return False
        if link.has_expired(self._clock.now()):
            raise LinkExpiredError
        return True
