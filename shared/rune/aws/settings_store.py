"""Settings in SSM Parameter Store, so that they change without a deployment.

=========================================  ============================================================
parameter                                  what
=========================================  ============================================================
<tenants path>/<tenant>                    the tenant's document (`rune.aws.tenants`)
<tenants path>/<tenant>/clusters/<name>    the credentials of a cluster (`rune.aws.clusters`)
<provider key>                             the key of the account that pays for rented machines
=========================================  ============================================================

All are SecureStrings. A value is used for 30 seconds, then read again. While that fails, the last good value is
used for a bounded time more.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from botocore.exceptions import BotoCoreError, ClientError

from rune.aws.errors import is_transient, reason_of
from rune.clock import Clock
from rune.errors import SettingsUnavailableError
from rune.tenants.entries import NOT_UNDERSTOOD_METRIC

log = logging.getLogger(__name__)

MAX_AGE = timedelta(seconds=30)
"""How long a value is used before the parameter is read again: the delay until a change holds."""

RETRY_DELAY = timedelta(seconds=5)
"""How long a failed read is not repeated, so that requests do not all wait for SSM's timeout."""

REREAD_INTERVAL = timedelta(seconds=1)
"""Least time between two readings after refusals. A reading before the first refusal may be as old as the refused
value, however young it is."""

REMEMBERED_COUNT = 1024
"""Parameters kept in memory, and as many names that have none."""


class ParameterReader(Protocol):
    """What is used of boto3's SSM client."""

    def get_parameter(self, *, Name: str, WithDecryption: bool) -> Mapping[str, Mapping[str, object]]:  # noqa: N803  # AWS's names
        """Return a parameter as `{"Parameter": {"Value": …}}`."""
        ...


@dataclass(frozen=True, slots=True)
class _Reading[T]:
    """What is known of a parameter.

    Attributes
    ----------
    is_found
        Whether the parameter is there.
    failed_at
        When a later reading failed.
    is_reread
        Whether it was read after a refusal.
    """

    value: T
    is_found: bool
    read_at: datetime
    failed_at: datetime | None = None
    is_reread: bool = False


class ParameterCache[T]:
    """Parameters as they were read last, a bounded number of them.

    Time is the wall clock's, since an environment may be frozen between requests.

    Parameters
    ----------
    client
        Returns a low-level SSM client; called with the first reading.
    understand
        Makes a value of a parameter's text, which is None where there is no parameter.
    grace
        How long after its age a value is used while it cannot be read again.
    age_of_missing
        How long it is remembered that a parameter is not there.
    """

    def __init__(
        self,
        client: Callable[[], ParameterReader],
        clock: Clock,
        understand: Callable[[str, str | None], T],
        *,
        grace: timedelta,
        age_of_missing: Callable[[str], timedelta] = lambda _name: MAX_AGE,
    ) -> None:
        self._client = client
        self._clock = clock
        self._understand = understand
        self._grace = grace
        self._age_of_missing = age_of_missing
        # Apart, so that names without a parameter, which any caller can send, never displace what was read.
        self._found: OrderedDict[str, _Reading[T]] = OrderedDict()
        self._missing: OrderedDict[str, _Reading[T]] = OrderedDict()
        self._never_read: OrderedDict[str, datetime] = OrderedDict()

    def recall(self, name: str) -> T | None:
        """Return the value if it is not too old; makes no call."""
        reading = self._last(name)
        return reading.value if reading and self._is_fresh(name, reading) else None

    def get(self, name: str) -> T:
        """Return the value, read again where it is too old; while that fails, the last good one.

        Raises
        ------
        SettingsUnavailableError
            There is none, or it is too old even for that.
        """
        reading = self._last(name)
        if reading and self._is_fresh(name, reading):
            return reading.value
        return self._read(name, reading, RETRY_DELAY)

    def reread(self, name: str) -> T:
        """Return the value, read again at any age; raises SettingsUnavailableError as `get` does."""
        reading = self._last(name)
        if reading and reading.is_reread and _is_within(reading.read_at, self._clock.now(), REREAD_INTERVAL):
            return reading.value
        return self._read(name, reading, REREAD_INTERVAL, is_reread=True)

    def _last(self, name: str) -> _Reading[T] | None:
        return self._found.get(name) or self._missing.get(name)

    def _is_fresh(self, name: str, reading: _Reading[T]) -> bool:
        age = MAX_AGE if reading.is_found else self._age_of_missing(name)
        return _is_within(reading.read_at, self._clock.now(), age)

    def _read(
        self, name: str, last: _Reading[T] | None, retry_delay: timedelta, *, is_reread: bool = False
    ) -> T:
        now = self._clock.now()
        failed_at = last.failed_at if last else self._never_read.get(name)
        if not _is_within(failed_at, now, retry_delay):
            try:
                text = self._read_text(name)
            except (BotoCoreError, ClientError) as error:
                # No trace: one of many. The alarm rings for both, since tenants are refused in the end.
                extra = {"place": name, "reason": reason_of(error), "metric": NOT_UNDERSTOOD_METRIC}
                if is_transient(error):
                    log.warning("settings.unreadable", extra=extra)
                else:
                    log.error("settings.refused", extra=extra)  # noqa: TRY400
                self._note_failure(name, last, now)
            else:
                value = self._understand(name, text)
                self._keep(name, _Reading(value, text is not None, read_at=now, is_reread=is_reread))
                return value
        if last is None or not _is_within(last.read_at, now, MAX_AGE + self._grace):
            raise SettingsUnavailableError("The settings cannot be read now.")
        return last.value

    def _read_text(self, name: str) -> str | None:
        try:
            answer = self._client().get_parameter(Name=name, WithDecryption=True)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ParameterNotFound":
                return None
            raise
        return str(answer["Parameter"]["Value"])

    def _note_failure(self, name: str, last: _Reading[T] | None, now: datetime) -> None:
        if last is None:
            _put(self._never_read, name, now)
        else:
            self._keep(name, replace(last, failed_at=now))

    def _keep(self, name: str, reading: _Reading[T]) -> None:
        self._never_read.pop(name, None)
        kept, other = (self._found, self._missing) if reading.is_found else (self._missing, self._found)
        other.pop(name, None)
        _put(kept, name, reading)


def _put[T](memory: OrderedDict[str, T], name: str, value: T) -> None:
    """Remember the value, and forget the one that was put there longest ago where there are too many."""
    memory.pop(name, None)
    memory[name] = value
    while len(memory) > REMEMBERED_COUNT:
        memory.popitem(last=False)


def _is_within(since: datetime | None, now: datetime, limit: timedelta) -> bool:
    """Return whether less than the limit has passed; a clock that went back counts as passed."""
    return since is not None and timedelta(0) <= now - since < limit
