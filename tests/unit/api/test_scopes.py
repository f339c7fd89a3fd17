"""Which scope each call needs."""

import pytest

from api.scopes import NEEDED, needed_scopes
from rune.tenants.tokens import Scope
from tests.scope_docs import PAGE, insert


def test_page_tells_the_scopes_of_today() -> None:
    assert insert(PAGE.read_text()) == PAGE.read_text()


@pytest.mark.parametrize(
    ("method", "scope"),
    [("GET", Scope.READ), ("POST", Scope.MANAGE), ("PUT", Scope.MANAGE), ("DELETE", Scope.MANAGE)],
)
def test_call_that_is_not_named_needs_the_scope_of_its_kind(method: str, scope: Scope) -> None:
    assert needed_scopes(method, "/v1/new") == (scope,)


def test_nothing_that_changes_is_done_by_who_may_only_read() -> None:
    """But for plans, for which the route itself asks again."""
    only_reading = {call for call, needed in NEEDED.items() if Scope.READ in needed}

    assert only_reading == {
        ("POST", "/v1/estimates"),
        ("POST", "/v1/finops/simulate"),
        ("POST", "/v1/jobs/{job_id}/links"),
        ("POST", "/v1/benchmarks/{job_id}/links"),
        *(
            ("POST", f"/v1/jobs/{kind}")
            for kind in ("benchmark", "agentic-agent", "llm-instance", "ollama-instance")
        ),
    }
