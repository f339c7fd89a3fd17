"""A tenant's own limit of requests as its callers meet it."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from tests.builders import TOKEN, FakeClock
from tests.functional.functions.asking import ACMES_TOKEN, OF_ACME, get, post
from tests.functional.functions.loading import loaded

if TYPE_CHECKING:
    from tests.cloud import Cloud

JOBS = "/v1/jobs"
FEW = {"RUNE_TENANT_POLLS_PER_SECOND": "1", "RUNE_TENANT_SUBMITS_PER_SECOND": "1"}


@pytest.fixture
def api(cloud: Cloud, clock: FakeClock) -> Iterator[ModuleType]:
    with loaded("api.handler", {**cloud.environment, **FEW}) as handler:
        yield handler


def test_tenant_above_its_polls_is_told_when_to_go_on(api: ModuleType, cloud: Cloud) -> None:
    answers = [get(api, JOBS) for _ in range(11)]

    assert [answer.status for answer in answers] == [200] * 10 + [429]
    refused = answers[-1]
    assert refused.document["code"] == "too_many_polls"
    assert refused.document["error"].startswith("Your tenant may send 10 requests that read (GET) in 10 s")
    assert 1 <= int(refused.headers["retry-after"]) == refused.document["retry_after_seconds"] <= 10


def test_refused_request_costs_no_call(api: ModuleType, cloud: Cloud) -> None:
    for _ in range(11):
        get(api, JOBS)
    cloud.calls.clear()

    assert [get(api, JOBS).status, post(api, {}).status] == [429, 422]
    assert cloud.operations == []


def test_submits_count_apart_also_those_that_are_refused(api: ModuleType, cloud: Cloud) -> None:
    answers = [post(api, {}) for _ in range(11)]

    assert [answer.status for answer in answers] == [422] * 10 + [429]
    assert answers[-1].document["code"] == "too_many_submits"
    assert get(api, JOBS).status == 200


def test_stop_is_let_through_when_a_client_runs_away(api: ModuleType, cloud: Cloud) -> None:
    for _ in range(11):
        post(api, {})

    assert [post(api, None, path="/v1/stop").status, post(api, {}).status] == [202, 429]


def test_other_tenant_and_the_health_check_are_let_through(api: ModuleType, cloud: Cloud) -> None:
    for _ in range(11):
        get(api, JOBS)

    assert get(api, JOBS, OF_ACME, token=ACMES_TOKEN).status == 200
    assert get(api, "/healthz").status == 200


def test_wrong_token_takes_nothing_of_the_tenants_requests(api: ModuleType, address: str) -> None:
    for _ in range(9):
        get(api, JOBS, token="a-token-that-nobody-has-0123456789abcdef", address=address)

    assert [get(api, JOBS, token=TOKEN).status for _ in range(10)] == [200] * 10


def test_stream_of_events_is_paused(api: ModuleType, cloud: Cloud) -> None:
    for _ in range(10):
        get(api, JOBS)

    answer = get(api, f"{JOBS}/{'a' * 32}/events", {"accept": "text/event-stream"})

    assert (answer.status, "too_many_polls" in answer.document) == (200, True)
