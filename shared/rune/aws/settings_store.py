"""Tokens in a parameter of SSM Parameter Store, so that they change without a deployment."""

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Protocol

from botocore.exceptions import BotoCoreError, ClientError

from rune.clock import Clock
from rune.errors import SettingsError, StoreUnavailableError
from rune.tenants.tokens import TokenBook

log = logging.getLogger(__name__)

MAX_AGE = timedelta(seconds=30)
"""How long a book is used before the parameter is read again: the delay until a revoked token is refused."""

GRACE = timedelta(minutes=5)
"""How much longer a book is used while the parameter cannot be read or understood; then all tokens are refused."""

RETRY_DELAY = timedelta(seconds=5)
"""How long a failed read is not repeated, so that requests do not all wait for SSM's timeout."""


class ParameterReader(Protocol):
    """What is used of boto3's SSM client."""

    def get_parameter(self, *, Name: str, WithDecryption: bool) -> Mapping[str, Mapping[str, object]]:  # noqa: N803  # AWS's names
        """Return a parameter as `{"Parameter": {"Value": …}}`."""
        ...


class SsmTokens:
    """The tokens of a SecureString, in the form of `RUNE_API_TOKENS`; kept as hashes and for a short time.

    A source of tokens. Time is the wall clock's, since an environment may be frozen between requests.

    Parameters
    ----------
    client
        A low-level SSM client.
    max_age
        How long a book is used before the parameter is read again: the delay until a revocation holds.
    grace
        How much longer while that fails. No environment ever trusts a book older than both together.
    """

    def __init__(
        self,
        client: ParameterReader,
        parameter_name: str,
        clock: Clock,
        max_age: timedelta = MAX_AGE,
        grace: timedelta = GRACE,
    ) -> None:
        self._client = client
        self._parameter_name = parameter_name
        self._clock = clock
        self._max_age = max_age
        self._grace = grace
        self._book: TokenBook | None = None
        self._read_at: datetime | None = None
        self._tried_at: datetime | None = None

    def current(self) -> TokenBook:
        """Return the tokens, at most `max_age` old; while they cannot be read, those of the last good reading.

        Raises
        ------
        SettingsError
            The first reading found a parameter that is malformed or holds no token. The message holds none either.
        StoreUnavailableError
            There is no reading, or the last good one is older than `max_age` and `grace` together.
        """
        now = self._clock.now()
        if not _within(self._read_at, now, self._max_age) and not _within(self._tried_at, now, RETRY_DELAY):
            self._tried_at = now
            self._refresh(now)
        if self._book is None or not _within(self._read_at, now, self._max_age + self._grace):
            raise StoreUnavailableError("The tokens cannot be read now.")
        return self._book

    def _refresh(self, now: datetime) -> None:
        """Read the parameter; what fails is logged, and the last good book stays."""
        try:
            book = self._read()
        except (BotoCoreError, ClientError) as error:
            log.error("tokens.unreadable", extra={"reason": _reason(error)})  # noqa: TRY400  # no trace: one of many
            return
        except SettingsError as error:
            if self._book is None:
                raise
            log.error("tokens.malformed", extra={"code": error.code, "reason": error.sentence})  # noqa: TRY400  # its frames hold tokens
            return
        if book.is_empty:
            # Obeyed all the same: whoever takes all tokens away means it, or learns of it at once.
            log.error("tokens.none")
        self._book, self._read_at, self._tried_at = book, now, None

    def _read(self) -> TokenBook:
        parameter = self._client.get_parameter(Name=self._parameter_name, WithDecryption=True)["Parameter"]
        book = TokenBook.parse(str(parameter["Value"]), source=f"The parameter {self._parameter_name}")
        if book.is_empty and self._book is None:
            raise SettingsError(f"The parameter {self._parameter_name} holds no token, so nobody could call.")
        return book


def _within(since: datetime | None, now: datetime, limit: timedelta) -> bool:
    """Return whether less than the limit has passed; a clock that went back counts as passed."""
    return since is not None and timedelta(0) <= now - since < limit


def _reason(error: Exception) -> str:
    """Return the service's code, or the type: messages may repeat what was sent."""
    if isinstance(error, ClientError):
        return error.response["Error"]["Code"]
    return type(error).__name__
