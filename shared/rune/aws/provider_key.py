"""The key of the account that pays for rented machines, as a parameter of SSM Parameter Store."""

from collections.abc import Callable
from datetime import timedelta
from typing import override

from rune.aws.settings_store import ParameterCache, ParameterReader
from rune.clock import Clock
from rune.rentals.provider_key import KeySource

KEY_GRACE = timedelta(hours=12)
"""How much longer a key is used while it cannot be read. Only the provider says whether a key is good, and without
one no machine can be destroyed."""


class SsmKey(KeySource):
    """A key that is a parameter of its own; blank where there is none."""

    def __init__(self, client: Callable[[], ParameterReader], name: str, clock: Clock) -> None:
        self._name = name
        self._cache = ParameterCache(client, clock, _strip, grace=KEY_GRACE)

    @override
    def current(self) -> str:
        return self._cache.get(self._name)

    @override
    def reread(self) -> str:
        return self._cache.reread(self._name)


def _strip(_name: str, text: str | None) -> str:
    return (text or "").strip()
