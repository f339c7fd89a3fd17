"""The client for Python against the API's own handler: keys, tags, cursors and errors as they really are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

import httpx
import pytest

from rune.jobs.outcomes import Done
from rune.jobs.record import Job, StepName
from rune.jobs.transitions import make_transition
from rune_client import ConflictError, NotAuthorizedError, NotFoundError, RefusedError, RuneClient
from tests.benchmark_builders import a_report, a_result_json
from tests.builders import JOB_ID, NOW, TOKEN, a_claimed_job, a_job, after, an_http_event
from tests.functional.functions.asking import CONTEXT, SERVER, put, put_benchmark

if TYPE_CHECKING:
    from tests.cloud import Cloud

BENCHMARK = {"question": "2 + 2?", "model": "llama3.1:8b", **SERVER}


class HandlerTransport(httpx.BaseTransport):
    """Hands requests to the API's handler, as API Gateway does, and keeps the statuses of its answers."""

    def __init__(self, api: ModuleType) -> None:
        self.api = api
        self.statuses: list[int] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        event = an_http_event(
            request.method,
            request.url.raw_path.decode(),
            request.read().decode() or None,
            {name.lower(): value for name, value in request.headers.items()},
            token=None,
        )
        answer = cast("dict[str, Any]", self.api.handle(event, CONTEXT))
        self.statuses.append(answer["statusCode"])
        return httpx.Response(answer["statusCode"], headers=answer["headers"], text=answer["body"] or "")


@contextmanager
def a_client(
    api: ModuleType, *, token: str = TOKEN, **sleeps: Callable[[float], None]
) -> Iterator[RuneClient]:
    with RuneClient("https://api.example", token, transport=HandlerTransport(api)) as client:
        client._sleep = sleeps.get("sleep", lambda _: None)
        yield client


def statuses_of(client: RuneClient) -> list[int]:
    transport = cast("HandlerTransport", client._http._transport)
    return transport.statuses


@pytest.mark.parametrize("key", ["nightly", "nightly, main", "a;b=c"])
def test_same_submission_under_its_key_is_one_job(key: str, api: ModuleType, cloud: Cloud) -> None:
    with a_client(api) as rune:
        first, second = (rune.submit("benchmark", BENCHMARK, idempotency_key=key) for _ in range(2))
        with pytest.raises(RefusedError) as raised:
            rune.submit("benchmark", {**BENCHMARK, "question": "3 + 3?"}, idempotency_key=key)
        listed = list(rune.jobs())

    assert first["job_id"] == second["job_id"]
    assert raised.value.code == "idempotency_key_reused"
    assert [job["job_id"] for job in listed] == [first["job_id"]]


def test_plan_makes_no_job(api: ModuleType, cloud: Cloud) -> None:
    with a_client(api) as rune:
        plan = rune.plan("benchmark", BENCHMARK)
        assert list(rune.jobs()) == []

    assert (plan["kind"], plan["rents"]) == ("benchmark", False)


def test_following_reads_nothing_again_and_ends_with_the_job(api: ModuleType, cloud: Cloud) -> None:
    job = a_claimed_job(step=StepName.MEASURE)
    put(cloud, job)
    pauses: list[float] = []

    def end_later(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            transition = make_transition(job, Done(a_result_json(a_report(), ())), NOW, 5)
            assert cloud.store.commit(job, transition)

    with a_client(api, sleep=end_later) as rune:
        updates = list(rune.follow(JOB_ID))
        statuses = statuses_of(rune)

    assert [update.job["status"] for update in updates] == ["running", "succeeded"]
    assert [event["event"] for event in updates[-1].events][-1] == "job.succeeded"
    assert statuses == [200, 200, 304, 200, 200]
    assert all(pause > 0 for pause in pauses)


def test_list_goes_through_its_pages(api: ModuleType, cloud: Cloud) -> None:
    jobs: list[Job] = [a_job(job_id=f"{number:032x}", created_at=after(number)) for number in range(3)]
    for job in jobs:
        put(cloud, job)

    with a_client(api) as rune:
        found = [job["job_id"] for job in rune.jobs(page_size=1)]
        statuses = statuses_of(rune)

    assert found == [job.job_id for job in reversed(jobs)]
    assert len(statuses) >= 3


def test_error_has_its_class_code_and_request(api: ModuleType, cloud: Cloud) -> None:
    with a_client(api) as rune, pytest.raises(NotFoundError) as raised:
        rune.job("0" * 32)

    assert raised.value.code == "job_not_found"
    assert raised.value.request_id


def test_wrong_fields_are_told_with_their_pointers(api: ModuleType, cloud: Cloud) -> None:
    with a_client(api) as rune, pytest.raises(RefusedError) as raised:
        rune.submit("benchmark", {**BENCHMARK, "modle": "x"})

    assert raised.value.pointer == "/modle"


def test_wrong_token_is_not_authorized(api: ModuleType, cloud: Cloud) -> None:
    with a_client(api, token=TOKEN[::-1]) as rune, pytest.raises(NotAuthorizedError) as raised:
        list(rune.jobs())

    assert raised.value.status == 401
    assert TOKEN[::-1] not in str(raised.value)


def test_report_comes_as_a_document_and_as_a_page(api: ModuleType, cloud: Cloud) -> None:
    put_benchmark(cloud)

    with a_client(api) as rune:
        report, page = rune.report(JOB_ID), rune.report(JOB_ID, format="markdown")

    assert report["model"]["id"] in page


def test_baseline_is_new_once(api: ModuleType, cloud: Cloud) -> None:
    put_benchmark(cloud)
    put_benchmark(cloud, job_id="0" * 32)

    with a_client(api) as rune:
        made = rune.set_baseline("main", JOB_ID, only_if_new=True)
        # Sent again because its answer was lost, it is no conflict.
        rune.set_baseline("main", JOB_ID, only_if_new=True)
        with pytest.raises(ConflictError) as raised:
            rune.set_baseline("main", "0" * 32, only_if_new=True)
        assert rune.baselines()["baselines"] == [made]
        rune.delete_baseline("main")
        assert rune.baselines()["baselines"] == []

    assert raised.value.code == "precondition_failed"


def test_cancelled_job_is_told(api: ModuleType, cloud: Cloud) -> None:
    with a_client(api) as rune:
        job_id = rune.submit("benchmark", BENCHMARK)["job_id"]
        cancelled = rune.cancel(job_id)
        ended = rune.wait(job_id, timeout_seconds=5)

    assert (cancelled["status"], ended["status"]) == ("cancelled", "cancelled")
