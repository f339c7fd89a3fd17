"""One tenant floods the API, another one is served as if it were alone."""

from __future__ import annotations

from tests.simulation.request_flood import NOW, run_flood
from tests.simulation.requests import CALLER


def test_bystander_is_refused_nothing_while_another_tenant_floods() -> None:
    found = run_flood(NOW, job_count=400, requests_per_second=60)

    assert found.answers["flooder"]["too_many_submits"] > 0
    assert found.answers["flooder"]["too_many_polls"] > 0
    assert found.answers[CALLER.tenant].keys() == {"202", "200"}
    assert (found.stored_seconds, found.seen_seconds is not None) == (0.0, True)
