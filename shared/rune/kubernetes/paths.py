"""The paths that may be asked of a cluster. Nothing else can be spelled, as a GET may also have effects.

`pods/x/exec`, `…/proxy/…` and a watch answer to GET too. So what is allowed is listed, here alone: collections,
items, the logs of a pod, metrics (which are collections and items), discovery and the version.
"""

import re
from collections.abc import Mapping
from urllib.parse import quote

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._~:-]|%3A)*"
# The first two are old forms of a watch and of a proxy, the others subresources of a namespace.
_PLURAL = r"(?!(?:watch|proxy|status|finalize|secrets)(?:/|$))[a-z][a-z0-9]*"
_VERSION = r"v[0-9][a-z0-9]*"
_GROUP = r"(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)"
_BASE = rf"/(?:api/{_VERSION}|apis/{_GROUP}/{_VERSION})"
_READABLE = re.compile(
    r"/version|/apis?"
    rf"|{_BASE}"
    rf"|{_BASE}/(?:namespaces/{_NAME}/)?{_PLURAL}(?:/{_NAME})?"
    rf"|/api/v1/namespaces/{_NAME}/pods/{_NAME}/log"
)
LOG_END = "/log"

_QUERY_KEYS = frozenset(
    {
        "limit",
        "continue",
        "labelSelector",
        "fieldSelector",
        "includeObject",
        "container",
        "previous",
        "tailLines",
        "sinceSeconds",
        "timestamps",
    }
)


def is_readable(path: str, query: Mapping[str, str]) -> bool:
    """Return whether a path, already encoded, and its query are among what may be asked."""
    return _READABLE.fullmatch(path) is not None and query.keys() <= _QUERY_KEYS


def group_path(group: str, version: str) -> str:
    """Return the path of a group's version; the core group has no name."""
    return f"/apis/{group}/{version}" if group else f"/api/{version}"


def resource_path(
    group: str, version: str, plural: str, namespace: str | None, name: str | None = None
) -> str:
    """Return the path of a collection, or of an item; without a namespace, of all of them or of the cluster."""
    place = f"/namespaces/{_part(namespace)}" if namespace is not None else ""
    item = f"/{_part(name)}" if name is not None else ""
    return f"{group_path(group, version)}{place}/{plural}{item}"


def log_path(namespace: str, pod: str) -> str:
    """Return the path of a pod's logs."""
    return resource_path("", "v1", "pods", namespace, pod) + LOG_END


def _part(name: str) -> str:
    return quote(name, safe=":")
