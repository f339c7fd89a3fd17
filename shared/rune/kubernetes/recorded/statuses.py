"""Refusals, as the API server words them: bodies of kind Status."""

from dataclasses import dataclass

from rune.kubernetes.recorded.documents import Document
from rune.kubernetes.recorded.kinds import Kind
from rune.kubernetes.recorded.readers import Reader


class RefusedError(Exception):
    """An answer that is no success; its body is a Status, or plain text."""

    def __init__(self, code: int, body: Document | str) -> None:
        super().__init__(code)
        self.code = code
        self.body = body


def status_of(code: int, reason: str, message: str, details: Document | None = None) -> RefusedError:
    """Return a refusal with a Status."""
    body: Document = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
    }
    if reason:
        body["reason"] = reason
    if details:
        body["details"] = details
    return RefusedError(code, {**body, "code": code})


def not_found(kind: Kind, name: str) -> RefusedError:
    """Return the 404 of an object that is not there."""
    details = {"name": name, **({"group": kind.group} if kind.group else {}), "kind": kind.plural}
    return status_of(404, "NotFound", f'{kind.qualified} "{name}" not found', details)


def no_such_path() -> RefusedError:
    """Return the 404 of a path that the server does not have."""
    return RefusedError(404, "404 page not found\n")


def no_such_resource() -> RefusedError:
    """Return the 404 of a resource that no group has."""
    text = "the server could not find the requested resource"
    return status_of(404, "NotFound", text, {})


@dataclass(frozen=True, slots=True)
class Attempt:
    """What somebody tried to read.

    Attributes
    ----------
    plural
        With its subresource: `pods/log`.
    namespace
        Empty at the cluster scope.
    """

    verb: str
    group: str
    plural: str
    namespace: str
    name: str


def forbidden(reader: Reader, attempt: Attempt) -> RefusedError:
    """Return the 403 of what a reader may not do."""
    where = f'in the namespace "{attempt.namespace}"' if attempt.namespace else "at the cluster scope"
    resource = f'resource "{attempt.plural}" in API group "{attempt.group}"'
    why = f'User "{reader.user}" cannot {attempt.verb} {resource} {where}'
    plural = attempt.plural.partition("/")[0]
    qualified = f"{plural}.{attempt.group}" if attempt.group else plural
    what = f'{qualified} "{attempt.name}"' if attempt.name else qualified
    details: Document = {}
    if attempt.name:
        details["name"] = attempt.name
    if attempt.group:
        details["group"] = attempt.group
    return status_of(403, "Forbidden", f"{what} is forbidden: {why}", {**details, "kind": plural})


def forbidden_path(reader: Reader, path: str) -> RefusedError:
    """Return the 403 of a path outside of all resources."""
    return status_of(403, "Forbidden", f'forbidden: User "{reader.user}" cannot get path "{path}"', {})


def bad_request(message: str) -> RefusedError:
    """Return a 400."""
    return status_of(400, "BadRequest", message)


def watch_refused() -> RefusedError:
    """Return the 405 of a watch, which recorded clusters do not have."""
    return status_of(
        405, "MethodNotAllowed", "the server does not allow this method on the requested resource", {}
    )


def not_acceptable() -> RefusedError:
    """Return the 406 of a client that takes nothing this server writes."""
    text = "only the following media types are accepted: application/json"
    return status_of(406, "NotAcceptable", text)


def expired(token: str) -> RefusedError:
    """Return the 410 of a continue token that is too old; `token` reads an inconsistent rest."""
    message = (
        "The provided continue parameter is too old to display a consistent list result. You can start a new list"
        " without the continue parameter, or use the continue token in this response to retrieve the remainder of"
        " the results. Continuing with the provided token results in an inconsistent list - objects that were"
        " created, modified, or deleted between the time the first chunk was returned and now may show up in the"
        " list."
    )
    refused = status_of(410, "Expired", message)
    body = refused.body if isinstance(refused.body, dict) else {}
    return RefusedError(410, {**body, "metadata": {"continue": token}})


def server_failed(message: str) -> RefusedError:
    """Return the 500 of an error that the API server passes on."""
    return status_of(500, "", message)


def service_down() -> RefusedError:
    """Return the 503 of an aggregated API whose server does not answer."""
    return RefusedError(503, "service unavailable\n")
