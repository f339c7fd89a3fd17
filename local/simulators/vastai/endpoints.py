"""What can be asked: the paths of the API, which right each needs and how often it may be asked.

Sources: the OpenAPI files of vast-ai/docs (August 2026, `x-rate-limit` in seconds) and requests recorded from the
official client, `vastai` 1.9.1.
"""

import re
from enum import StrEnum


class Endpoint(StrEnum):
    """One thing that can be asked for."""

    SEARCH = "search"
    CREATE = "create"
    SHOW = "show"
    LIST = "list"
    OLD_LIST = "old_list"
    """v0's list, which was switched off in 2026."""
    FILTERS = "filters"
    MANAGE = "manage"
    """Label, start and stop."""
    MANAGE_MANY = "manage_many"
    DESTROY = "destroy"
    DESTROY_MANY = "destroy_many"
    REBOOT = "reboot"
    RECYCLE = "recycle"
    CHANGE_BID = "change_bid"
    UPDATE_TEMPLATE = "update_template"
    REQUEST_LOGS = "request_logs"
    SEARCH_TEMPLATES = "search_templates"
    CREATE_TEMPLATE = "create_template"
    EDIT_TEMPLATE = "edit_template"
    DELETE_TEMPLATE = "delete_template"
    LIST_VOLUMES = "list_volumes"
    SEARCH_VOLUMES = "search_volumes"
    CREATE_VOLUME = "create_volume"
    DELETE_VOLUME = "delete_volume"
    USER = "user"
    GPU_NAMES = "gpu_names"


class Scope(StrEnum):
    """A right that a key may carry."""

    INSTANCE_READ = "instance_read"
    INSTANCE_WRITE = "instance_write"
    USER_READ = "user_read"
    USER_WRITE = "user_write"
    MISC = "misc"


_ROUTES: dict[tuple[str, str], Endpoint] = {
    ("POST", "/api/v0/bundles/"): Endpoint.SEARCH,
    ("GET", "/api/v0/bundles/"): Endpoint.SEARCH,
    ("PUT", "/api/v0/search/asks/"): Endpoint.SEARCH,
    ("PUT", "/api/v0/asks/{}/"): Endpoint.CREATE,
    ("GET", "/api/v0/instances/{}/"): Endpoint.SHOW,
    ("GET", "/api/v1/instances/"): Endpoint.LIST,
    ("GET", "/api/v0/instances/"): Endpoint.OLD_LIST,
    ("GET", "/api/v0/instances/filters/"): Endpoint.FILTERS,
    ("PUT", "/api/v0/instances/{}/"): Endpoint.MANAGE,
    ("PUT", "/api/v0/instances/"): Endpoint.MANAGE_MANY,
    ("DELETE", "/api/v0/instances/{}/"): Endpoint.DESTROY,
    ("DELETE", "/api/v0/instances/"): Endpoint.DESTROY_MANY,
    ("PUT", "/api/v0/instances/reboot/{}/"): Endpoint.REBOOT,
    ("PUT", "/api/v0/instances/recycle/{}/"): Endpoint.RECYCLE,
    ("PUT", "/api/v0/instances/bid_price/{}/"): Endpoint.CHANGE_BID,
    ("PUT", "/api/v0/instances/update_template/{}/"): Endpoint.UPDATE_TEMPLATE,
    ("PUT", "/api/v0/instances/request_logs/{}/"): Endpoint.REQUEST_LOGS,
    ("GET", "/api/v0/template/"): Endpoint.SEARCH_TEMPLATES,
    ("POST", "/api/v0/template/"): Endpoint.CREATE_TEMPLATE,
    ("PUT", "/api/v0/template/"): Endpoint.EDIT_TEMPLATE,
    ("DELETE", "/api/v0/template/"): Endpoint.DELETE_TEMPLATE,
    ("GET", "/api/v0/volumes/"): Endpoint.LIST_VOLUMES,
    ("GET", "/api/v0/volumes"): Endpoint.LIST_VOLUMES,
    ("POST", "/api/v0/volumes/search/"): Endpoint.SEARCH_VOLUMES,
    ("PUT", "/api/v0/volumes/"): Endpoint.CREATE_VOLUME,
    ("PUT", "/api/v0/volumes"): Endpoint.CREATE_VOLUME,
    ("DELETE", "/api/v0/volumes/"): Endpoint.DELETE_VOLUME,
    ("DELETE", "/api/v0/volumes"): Endpoint.DELETE_VOLUME,
    ("GET", "/api/v0/users/current/"): Endpoint.USER,
    ("GET", "/api/v0/users/current"): Endpoint.USER,
    ("GET", "/api/v0/gpu_names/unique/"): Endpoint.GPU_NAMES,
}

OPEN_ENDPOINTS = frozenset({Endpoint.SEARCH, Endpoint.GPU_NAMES})
"""Answered without a key; a wrong one is refused all the same."""

_READING = {
    Endpoint.SHOW,
    Endpoint.LIST,
    Endpoint.OLD_LIST,
    Endpoint.FILTERS,
    Endpoint.REQUEST_LOGS,
    Endpoint.LIST_VOLUMES,
}
_OF_USER = {Endpoint.USER: Scope.USER_READ, Endpoint.SEARCH_TEMPLATES: Scope.USER_READ}
_OF_MISC = {Endpoint.SEARCH, Endpoint.SEARCH_VOLUMES, Endpoint.GPU_NAMES}
_TEMPLATE_WRITING = {Endpoint.CREATE_TEMPLATE, Endpoint.EDIT_TEMPLATE, Endpoint.DELETE_TEMPLATE}

INTERVAL_SECONDS: dict[Endpoint, float] = {
    Endpoint.CREATE: 4.5,
    Endpoint.SHOW: 2.0,
    Endpoint.LIST: 1.0,
    Endpoint.MANAGE: 1.0,
    Endpoint.MANAGE_MANY: 1.0,
    Endpoint.DESTROY: 3.0,
    Endpoint.DESTROY_MANY: 3.0,
    Endpoint.REBOOT: 1.0,
    Endpoint.RECYCLE: 1.0,
    Endpoint.CHANGE_BID: 5.5,
    Endpoint.SEARCH_TEMPLATES: 3.0,
    Endpoint.LIST_VOLUMES: 5.5,
    Endpoint.SEARCH_VOLUMES: 5.5,
    Endpoint.CREATE_VOLUME: 5.5,
    Endpoint.DELETE_VOLUME: 5.5,
}
"""Least time between two calls with one key."""

PENALTY_SECONDS: dict[Endpoint, float] = {Endpoint.CREATE: 12.0}
"""How long a call that came too early closes the endpoint."""

SEARCHES_PER_MINUTE_COUNT = 10
"""By address, whatever the key."""

CHANGES = frozenset(
    {
        Endpoint.MANAGE,
        Endpoint.MANAGE_MANY,
        Endpoint.DESTROY,
        Endpoint.DESTROY_MANY,
        Endpoint.REBOOT,
        Endpoint.RECYCLE,
        Endpoint.CHANGE_BID,
        Endpoint.UPDATE_TEMPLATE,
    }
)
"""What changes or ends an instance that exists."""

_NUMBER = re.compile(r"/(\d+)(?=/|$)")


def scope_of(endpoint: Endpoint) -> Scope:
    """Return the right that an endpoint needs."""
    if endpoint in _OF_USER:
        return _OF_USER[endpoint]
    if endpoint in _TEMPLATE_WRITING:
        return Scope.USER_WRITE
    if endpoint in _OF_MISC:
        return Scope.MISC
    return Scope.INSTANCE_READ if endpoint in _READING else Scope.INSTANCE_WRITE


def find_endpoint(method: str, path: str) -> tuple[Endpoint | None, int | None]:
    """Return what a request asks for and the number in its path; None where there is none of it."""
    found = _NUMBER.search(path)
    if found is None:
        return _ROUTES.get((method, path)), None
    pattern = f"{path[: found.start()]}/{{}}{path[found.end() :]}"
    return _ROUTES.get((method, pattern)), int(found.group(1))


def redirect_path(method: str, path: str) -> str | None:
    """Return the same path with its slash put right, where that would be known."""
    other = path[:-1] if path.endswith("/") else f"{path}/"
    return other if find_endpoint(method, other)[0] is not None else None
