"""Queries that are held to their members, as bodies are to their fields."""

from collections import Counter
from collections.abc import Collection

from fastapi import Request

from rune.errors import InvalidRequestError


def refuse_unknown_members(
    request: Request, *, also: Collection[str] = (), repeatable: Collection[str] = ()
) -> None:
    """Raise InvalidRequestError for a member of the query that the route has not, or that comes twice.

    A misspelt one would be answered with something else than was asked for.

    Parameters
    ----------
    also
        Members that the route itself does not read.
    repeatable
        Members that may come several times.
    """
    known = [each.alias for each in request.scope["route"].dependant.query_params]
    counts = Counter(name for name, _ in request.query_params.multi_items())
    for name, count in counts.items():
        shown = name[:60]
        pointer = "/" + shown.replace("~", "~0").replace("/", "~1")
        if name not in {*known, *also}:
            raise InvalidRequestError(
                f"There is no query member {shown!r}. There are: {', '.join(known)}.",
                pointer=pointer,
                code="query_member_unknown",
            )
        if count > 1 and name not in repeatable:
            raise InvalidRequestError(
                f"The query member {shown!r} is there {count} times.",
                pointer=pointer,
                code="query_member_repeated",
            )
