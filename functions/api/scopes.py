"""Which scope of a token each call needs. docs/api.md has the table, printed by tests/scope_docs.py."""

from collections.abc import Mapping

from fastapi import Request
from starlette.types import Scope as Connection

from rune.errors import InsufficientScopeError
from rune.tenants.tokens import Scope, Token

type Call = tuple[str, str]
"""Method and path of a route."""

_READ, _SUBMIT, _MANAGE = (Scope.READ,), (Scope.SUBMIT,), (Scope.MANAGE,)
_SUBMIT_OR_PLAN = (Scope.SUBMIT, Scope.READ)
"""A body with `dry_run` needs one of them; `require` asks for the first once a job is to be made."""

NEEDED: Mapping[Call, tuple[Scope, ...]] = {
    # These POST to ask, and change nothing. A link shows what its maker may read.
    ("POST", "/v1/estimates"): _READ,
    ("POST", "/v1/finops/simulate"): _READ,
    ("POST", "/v1/jobs/{job_id}/links"): _READ,
    ("POST", "/v1/benchmarks/{job_id}/links"): _READ,
    ("POST", "/v1/jobs/benchmark"): _SUBMIT_OR_PLAN,
    ("POST", "/v1/jobs/agentic-agent"): _SUBMIT_OR_PLAN,
    ("POST", "/v1/jobs/llm-instance"): _SUBMIT_OR_PLAN,
    ("POST", "/v1/jobs/ollama-instance"): _SUBMIT_OR_PLAN,
    ("DELETE", "/v1/jobs/{job_id}"): _SUBMIT,
    ("PUT", "/v1/baselines/{name}"): _SUBMIT,
    ("DELETE", "/v1/baselines/{name}"): _SUBMIT,
    ("PUT", "/v1/suites/{name}"): _SUBMIT,
    ("DELETE", "/v1/suites/{name}"): _SUBMIT,
    ("POST", "/v1/schedules/{schedule_id}/run"): _SUBMIT,
    # A secret, although it is only read.
    ("GET", "/v1/webhooks/callback-secret"): _MANAGE,
}
"""What each call needs of a token: one of these. Of the calls that are not named, GET needs `read`, and every other
one `manage`, which is the safe direction for a new route."""


def needed_scopes(method: str, path: str) -> tuple[Scope, ...]:
    """Return the scopes of which a call needs one."""
    return NEEDED.get((method, path), _READ if method == "GET" else _MANAGE)


def require(connection: Connection, *needed: Scope) -> None:
    """Raise InsufficientScopeError unless the caller's token has one of the scopes."""
    token: Token = connection["token"]
    if token.scopes.isdisjoint(needed):
        raise InsufficientScopeError(
            token.name,
            needed=needed[0].value,
            granted=[scope.value for scope in Scope if scope in token.scopes],
        )


def require_submit(request: Request) -> None:
    """Raise InsufficientScopeError unless the caller's token may make jobs."""
    require(request.scope, Scope.SUBMIT)
