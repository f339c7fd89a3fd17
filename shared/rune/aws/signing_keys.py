"""The key from which signing keys are derived, as a parameter of SSM Parameter Store."""

from collections.abc import Callable
from datetime import timedelta
from typing import override

from rune.aws.settings_store import ParameterCache, ParameterReader
from rune.clock import Clock
from rune.signing_keys import SigningKeys, SigningKeySource
from rune.tenants.entries import RefusedEntry, log_refused

GRACE = timedelta(hours=12)
"""How much longer keys are used while they cannot be read. A key is exchanged rarely, and what it signed goes on
being sent and opened."""


class SsmSigningKeys(SigningKeySource):
    """Keys in a parameter of their own; none where there is no parameter."""

    def __init__(self, client: Callable[[], ParameterReader], name: str, clock: Clock) -> None:
        self._name = name
        self._cache = ParameterCache(client, clock, _understand, grace=GRACE)

    @override
    def current(self) -> SigningKeys:
        return self._cache.get(self._name)


def _understand(name: str, text: str | None) -> SigningKeys:
    keys = SigningKeys.parse(text or "")
    if keys.refused_count or keys.version is None:
        reason = f"{keys.refused_count} entries are not understood; version {keys.version} signs."
        log_refused((RefusedEntry(name, reason),))
    return keys
