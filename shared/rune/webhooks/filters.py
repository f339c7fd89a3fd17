"""Which events an endpoint wants: exact types, or all below a prefix."""

import re
from collections.abc import Iterable

ALL = "*"

MAX_FILTERS = 20
"""Of one endpoint."""

MAX_FILTER_CHARS = 64

# Parts as Standard Webhooks has them: letters, digits and underscores, with full stops between.
_FILTER = re.compile(r"\*|[a-zA-Z0-9_]+(\.[a-zA-Z0-9_]+)*(\.\*)?", re.ASCII)


def is_filter(text: str) -> bool:
    """Return whether the text is a type such as `rune.job.succeeded`, a prefix such as `rune.job.*`, or `*`."""
    return len(text) <= MAX_FILTER_CHARS and _FILTER.fullmatch(text) is not None


def wants(filters: Iterable[str], event_type: str) -> bool:
    """Return whether one of the filters is the type, or a prefix of it."""
    return any(_matches(each, event_type) for each in filters)


def _matches(each: str, event_type: str) -> bool:
    if each == ALL:
        return True
    if each.endswith(".*"):
        return event_type.startswith(each.removesuffix("*"))
    return each == event_type
