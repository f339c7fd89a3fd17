"""The paths of the API, the right that each needs, and how often each may be called.

Sources: the OpenAPI files of vast-ai/docs (August 2026, `x-rate-limit` in seconds) and requests recorded from the
official client, `vastai` 1.9.1.
"""

import re
from enum import StrEnum


class Endpoint(StrEnum):
    """One call of the API."""

    SEARCH = "search"
    CREATE = "create"
    SHOW = "show"
    LIST = "list"
    OLD_LIST = "old_list"
    """v0's list, which was switched off in 2026."""
    FILTERS = "filters"
    MANAGE = "manage"
    """Label, start and stop."""
    DESTROY = "destroy"
    DESTROY_MANY = "destroy_many"
    CHANGE_BID = "change_bid"
    REQUEST_LOGS = "request_logs"
    SEARCH_TEMPLATES = "search_templates"
    USER = "user"
    GPU_NAMES = "gpu_names"
    CHARGES = "charges"


class Scope(StrEnum):
    """A right that a key may carry."""

    INSTANCE_READ = "instance_read"
    INSTANCE_WRITE = "instance_write"
    USER_READ = "user_read"
    MISC = "misc"
    BILLING_READ = "billing_read"


_ROUTES: dict[tuple[str, str], Endpoint] = {
    ("POST", "/api/v0/bundles/"): Endpoint.SEARCH,
    ("PUT", "/api/v0/search/asks/"): Endpoint.SEARCH,
    ("PUT", "/api/v0/asks/{}/"): Endpoint.CREATE,
    ("GET", "/api/v0/instances/{}/"): Endpoint.SHOW,
    ("GET", "/api/v1/instances/"): Endpoint.LIST,
    ("GET", "/api/v0/instances/"): Endpoint.OLD_LIST,
    ("GET", "/api/v0/instances/filters/"): Endpoint.FILTERS,
    ("PUT", "/api/v0/instances/{}/"): Endpoint.MANAGE,
    ("DELETE", "/api/v0/instances/{}/"): Endpoint.DESTROY,
    ("DELETE", "/api/v0/instances/"): Endpoint.DESTROY_MANY,
    ("PUT", "/api/v0/instances/bid_price/{}/"): Endpoint.CHANGE_BID,
    ("PUT", "/api/v0/instances/request_logs/{}/"): Endpoint.REQUEST_LOGS,
    ("GET", "/api/v0/template/"): Endpoint.SEARCH_TEMPLATES,
    ("GET", "/api/v0/users/current/"): Endpoint.USER,
    ("GET", "/api/v0/users/current"): Endpoint.USER,
    ("GET", "/api/v0/gpu_names/unique/"): Endpoint.GPU_NAMES,
    ("GET", "/api/v0/charges/"): Endpoint.CHARGES,
}

OPEN_ENDPOINTS = frozenset({Endpoint.SEARCH, Endpoint.GPU_NAMES})
"""Answered without a key; a wrong key is refused."""

_READING = {
    Endpoint.SHOW,
    Endpoint.LIST,
    Endpoint.OLD_LIST,
    Endpoint.FILTERS,
    Endpoint.REQUEST_LOGS,
}
_OF_USER = {Endpoint.USER, Endpoint.SEARCH_TEMPLATES}
_OF_MISC = {Endpoint.SEARCH, Endpoint.GPU_NAMES}

INTERVAL_SECONDS: dict[Endpoint, float] = {
    Endpoint.CREATE: 4.5,
    Endpoint.SHOW: 2.0,
    Endpoint.LIST: 1.0,
    Endpoint.MANAGE: 1.0,
    Endpoint.DESTROY: 3.0,
    Endpoint.DESTROY_MANY: 3.0,
    Endpoint.CHANGE_BID: 5.5,
    Endpoint.SEARCH_TEMPLATES: 3.0,
    Endpoint.CHARGES: 1.0,
}
"""Least time between two calls with one key."""

PENALTY_SECONDS: dict[Endpoint, float] = {Endpoint.CREATE: 12.0}
"""How long the endpoint refuses every call after one that came too early."""

SEARCHES_PER_MINUTE_COUNT = 10
"""By address, with any key."""

CHANGES = frozenset(
    {
        Endpoint.MANAGE,
        Endpoint.DESTROY,
        Endpoint.DESTROY_MANY,
        Endpoint.CHANGE_BID,
    }
)
"""Calls that change or end an instance."""

_NUMBER = re.compile(r"/(\d+)(?=/|$)")


def scope_of(endpoint: Endpoint) -> Scope:
    """Return the right that an endpoint needs."""
    if endpoint in _OF_USER:
        return Scope.USER_READ
    if endpoint is Endpoint.CHARGES:
        return Scope.BILLING_READ
    if endpoint in _OF_MISC:
        return Scope.MISC
    return Scope.INSTANCE_READ if endpoint in _READING else Scope.INSTANCE_WRITE


def find_endpoint(method: str, path: str) -> tuple[Endpoint | None, int | None]:
    """Return the endpoint of a request and the number in its path; None for what it lacks."""
    found = _NUMBER.search(path)
    if found is None:
        return _ROUTES.get((method, path)), None
    pattern = f"{path[: found.start()]}/{{}}{path[found.end() :]}"
    return _ROUTES.get((method, pattern)), int(found.group(1))


def redirect_path(method: str, path: str) -> str | None:
    """Return the path with its final slash added or removed, where that makes it a known one."""
    other = path[:-1] if path.endswith("/") else f"{path}/"
    return other if find_endpoint(method, other)[0] is not None else None
