"""Links that open one document without a token: given out, and checked."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

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

PAGES: Mapping[str, str] = {"report": "/v1/benchmarks/{job_id}", "comparison": "/v1/benchmarks/compare"}
"""What a link to a page can open: of these paths one page, and nothing that their other forms give."""

_LINKABLE = re.compile(
    "|".join(re.escape(path).replace(r"\{job_id\}", "[^/?]+") for path in {*PATHS.values(), *PAGES.values()})
)


def report_page(job_id: str) -> str:
    """Return the target of a link to the page of a report."""
    return target_of(PAGES["report"].format(job_id=job_id), [("format", "html")])


def comparison_page(job_ids: Sequence[str], threshold_ratio: float) -> str:
    """Return the target of a link to the page of a comparison."""
    members = [("format", "html"), ("jobs", ",".join(job_ids)), ("threshold", f"{threshold_ratio:g}")]
    return target_of(PAGES["comparison"], members)


def target_of(path: str, members: Iterable[tuple[str, str]]) -> str:
    """Return a path with the members of its query, in one way of writing, whatever their order; not the link."""
    kept = sorted((name, value) for name, value in members if name != PARAMETER)
    return f"{path}?{urlencode(kept)}" if kept else path


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

    def make(self, target: str, lifetime: timedelta, *, tenant: str, token_digest: bytes) -> SignedLink:
        """Return a link to a path of the tenant's, or to a path with a query and nothing else.

        Parameters
        ----------
        target
            As `target_of` writes it.
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
            target=target,
            expires_at_seconds=expires_at_seconds,
        )
        if link is None:
            raise SigningKeyMissingError
        joint = "&" if "?" in target else "?"
        return SignedLink(
            f"{target}{joint}{PARAMETER}={link.text}", datetime.fromtimestamp(expires_at_seconds, UTC)
        )

    def opens(
        self, link: Link, token_digests: Sequence[bytes], path: str, members: Iterable[tuple[str, str]]
    ) -> bool:
        """Return whether the link was made for the path, or for it with just these members, with one of the tokens.

        Parameters
        ----------
        members
            Of the query.

        Raises
        ------
        LinkExpiredError
            It was, and its time is over.
        SettingsUnavailableError
            The key cannot be read now.
        """
        keys = self._keys.current()
        # Both, so that the time tells nothing of which one matches.
        opened = [is_genuine(link, keys, token_digests, each) for each in (path, target_of(path, members))]
        if not any(opened):
            return False
        if link.has_expired(self._clock.now()):
            raise LinkExpiredError
        return True
