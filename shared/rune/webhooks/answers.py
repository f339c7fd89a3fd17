"""What became of one POST, and what follows from it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

MAX_RESPONSE_CHARS = 1000
"""Of an answer's body that the log keeps."""

_GONE = 410
_BUSY = frozenset({429, 502, 503, 504})
"""Statuses after which a receiver is left alone for a while (Standard Webhooks)."""


class AttemptError(StrEnum):
    """Why an attempt failed, where no status says so."""

    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    ADDRESS_REFUSED = "address_refused"
    ADDRESS_UNRESOLVED = "address_unresolved"
    REDIRECTED = "redirected"
    """A status of 300 to 399: no redirect is followed."""
    BAD_RESPONSE = "bad_response"
    """What came is not HTTP."""
    STATUS = "status"
    """Another status than 2xx."""
    EXPIRED = "expired"
    """It could not be tried in time, so nothing was sent."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a receiver answered, or why there is no answer.

    Attributes
    ----------
    at
        When the attempt began.
    error
        None for an answer.
    response
        Beginning of the body.
    """

    at: datetime
    duration_ms: int
    status: int | None = None
    error: AttemptError | None = None
    retry_after: timedelta | None = None
    response: str | None = None

    @property
    def is_success(self) -> bool:
        """Whether the receiver has taken the event."""
        return self.status is not None and 200 <= self.status < 300  # noqa: PLR2004  # RFC 9110, 15.3

    @property
    def is_gone(self) -> bool:
        """Whether the receiver wants no more events."""
        return self.status == _GONE

    @property
    def is_unwell(self) -> bool:
        """Whether the receiver as a whole fails, so that other deliveries would fail too."""
        return self.status is None or self.status in _BUSY

    @property
    def failure(self) -> AttemptError | None:
        """Why the attempt failed; None where it succeeded."""
        if self.status is None:
            return self.error or AttemptError.BAD_RESPONSE
        if self.is_success:
            return None
        return AttemptError.REDIRECTED if 300 <= self.status < 400 else AttemptError.STATUS  # noqa: PLR2004  # RFC 9110, 15.4
