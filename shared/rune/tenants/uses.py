"""On which day each token was used last, for an operator who asks whether it can go."""

import logging
from collections.abc import Callable, Mapping
from datetime import date
from typing import Protocol

from rune.clock import Clock
from rune.errors import StoreUnavailableError

log = logging.getLogger(__name__)

REMEMBERED_TOKEN_COUNT = 4096
"""Tokens of which a process knows that their day is written. Beyond, some days are written again."""


class TokenUseStore(Protocol):
    """Where the days are."""

    def note(self, tenant: str, token_name: str, day: date) -> None:
        """Write that a token was used on a day (UTC), unless a later one is written."""
        ...

    def read(self, tenant: str) -> Mapping[str, date]:
        """Return the day of the last use by the names of a tenant's tokens, of those that were ever used."""
        ...


class TokenUses:
    """Writes for each token one row a day and process; no request waits for more, and none fails for it.

    Parameters
    ----------
    find_store
        Called at the first write.
    """

    def __init__(self, find_store: Callable[[], TokenUseStore], clock: Clock) -> None:
        self._find_store = find_store
        self._clock = clock
        self._day_of: dict[tuple[str, str], date] = {}

    def note(self, tenant: str, token_name: str) -> None:
        """Note that a token was used now. A write that fails is not tried again on this day."""
        day = self._clock.now().date()
        token = (tenant, token_name)
        if self._day_of.get(token) == day:
            return
        if len(self._day_of) >= REMEMBERED_TOKEN_COUNT:
            self._day_of.clear()
        self._day_of[token] = day
        try:
            self._find_store().note(tenant, token_name, day)
        except StoreUnavailableError:
            log.warning("token_use.lost", exc_info=True, extra={"tenant": tenant, "token_name": token_name})
