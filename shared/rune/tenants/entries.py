"""Entries of what an operator writes: their names, and how one is refused that is not understood."""

import logging
import re
from dataclasses import dataclass

log = logging.getLogger(__name__)

TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
"""A tenant's name. It is part of a parameter's name and of keys in the table."""

NAME = TENANT
"""The name of an entry within a tenant's document, such as a credential's."""

NOT_UNDERSTOOD_METRIC = "SettingsNotUnderstood"
"""Counted for each refused entry and each unreadable parameter; an alarm in the template looks for it."""

MAX_REFUSED_LINES = 20
"""Log lines for one reading of one document."""


class EntryError(Exception):
    """An entry is not understood, and becomes a `RefusedEntry`.

    Attributes
    ----------
    sentence
        Why, without a value.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class RefusedEntry:
    """An entry that is not understood, and has therefore no effect.

    Attributes
    ----------
    place
        Where it stands: a field that RUNE knows, and the number of an entry in it, from 1. A name that the operator
        chose is left out, since it can be a secret.
    reason
        One sentence, without a value.
    """

    place: str
    reason: str


def log_refused(refused: tuple[RefusedEntry, ...], tenant: str | None = None) -> None:
    """Log entries that are not understood, each counted by the metric that an alarm looks for."""
    of_tenant = {} if tenant is None else {"tenant": tenant}
    for entry in refused[:MAX_REFUSED_LINES]:
        log.error(
            "settings.not_understood",
            extra={
                **of_tenant,
                "place": entry.place,
                "reason": entry.reason,
                "metric": NOT_UNDERSTOOD_METRIC,
            },
        )
