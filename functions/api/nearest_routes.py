"""What is there instead, for a request to a path or with a method that the API does not have."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from fastapi import FastAPI
from starlette.routing import Route

from rune.errors import is_shown

_LEAST_LIKENESS_RATIO = 0.75
"""How alike two paths are, 0 to 1, that one may be meant by the other."""

_LONGEST_SHOWN = 100

_DONE_OTHERWISE: Sequence[tuple[re.Pattern[str], str]] = (
    (re.compile(r"/v1/jobs/[^/]+/(cancel|stop|delete)"), "A job is cancelled by DELETE /v1/jobs/{job_id}."),
    (
        re.compile(r"/v1/jobs/[^/]+/(result|status|answer)"),
        "A job's status and result are in GET /v1/jobs/{job_id}.",
    ),
    (
        re.compile(r"/v1/rentals/[^/]+/(stop|delete|destroy|release|cancel)"),
        "A machine is given back by DELETE /v1/rentals/{rental_id}.",
    ),
)
"""Paths that other APIs have for what is done here in another way."""


@dataclass(frozen=True, slots=True)
class KnownRoute:
    """A route that callers may use."""

    path: str
    methods: frozenset[str]


def list_routes(app: FastAPI) -> tuple[KnownRoute, ...]:
    """Return the routes of the API that are not deprecated."""
    return tuple(
        KnownRoute(route.path, frozenset(route.methods or ()))
        for route in app.routes
        if isinstance(route, Route) and not getattr(route, "deprecated", False)
    )


def explain_path(method: str, path: str, routes: Iterable[KnownRoute]) -> str:
    """Return a sentence about a path that is not there, with the nearest one that is."""
    shown = _shown(path)
    for pattern, sentence in _DONE_OTHERWISE:
        if pattern.fullmatch(path):
            return f"There is nothing at {shown}. {sentence}"
    likeness, nearest = max(
        ((_likeness(path, route, method), route.path) for route in routes), default=(0.0, "")
    )
    if likeness < _LEAST_LIKENESS_RATIO:
        return f"There is nothing at {shown}."
    return f"There is nothing at {shown}. Did you mean {nearest}?"


def explain_method(method: str, path: str, allowed: Sequence[str], routes: Iterable[KnownRoute]) -> str:
    """Return a sentence about a method that a path does not take, with the paths below that take it."""
    below = sorted(
        route.path
        for route in routes
        if method in route.methods and route.path.rpartition("/")[0] == path and "{" not in route.path
    )
    instead = f" {method} goes to {', '.join(below)}." if below else ""
    return f"{_shown(path)} takes {', '.join(allowed)} and not {method}.{instead}"


def _shown(path: str) -> str:
    return "/".join(part if is_shown(part) else "…" for part in path.split("/"))[:_LONGEST_SHOWN]


def _likeness(path: str, route: KnownRoute, method: str) -> float:
    """Return how alike a path and a route's are, 0 to 1; parameters match anything."""
    sent = [part for part in path.lower()[:_LONGEST_SHOWN].split("/") if part]
    known = [part for part in route.path.split("/") if part]
    if len(sent) == len(known):
        # Ids match by their place, and say nothing of how alike the rest is.
        fixed = [index for index, part in enumerate(known) if not part.startswith("{")]
        sent, known = [sent[index] for index in fixed], [known[index] for index in fixed]
    ratio = SequenceMatcher(None, "/".join(sent), "/".join(known)).ratio()
    # Of two that are as near, the one that takes the method.
    return ratio + (0.01 if method in route.methods else 0.0)
