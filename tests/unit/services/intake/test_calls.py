from __future__ import annotations

import json

import pytest

from rune.errors import StoreUnavailableError, TooManyWaitingJobsError
from rune.services.intake.calls import answer_call
from rune.services.intake.ways import Way
from rune.tenants.settings import TenantSettings
from tests.builders import a_benchmark_request, a_sample_event
from tests.unit.services.intake.offices import Office, known_tenants

CALL = a_sample_event("intake-invoke")
UNNAMED = {"kind": "benchmark", "request": a_benchmark_request()}


def call(office: Office, payload: object, request_id: str = "call-1") -> dict[str, object]:
    return answer_call(office.orders, office.refusals, "default", payload, request_id)


def test_call_is_answered_as_by_the_api() -> None:
    office = Office()

    answer = call(office, CALL)

    assert answer == {"job_id": office.jobs[0].job_id, "status": "accepted"}


@pytest.mark.parametrize(
    ("payload", "second_id", "job_count"),
    [(CALL, "call-2", 1), (UNNAMED, "call-1", 1), (UNNAMED, "call-2", 2)],
)
def test_call_is_known_by_its_key_and_else_by_lambdas_own_id(
    payload: object, second_id: str, job_count: int
) -> None:
    office = Office()

    call(office, payload)
    call(office, payload, second_id)

    assert len(office.jobs) == job_count


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ({"kind": "benchmark", "request": {}}, "invalid_request"),
        ({**UNNAMED, "tenant": "acme"}, "invalid_request"),
        ("text", "invalid_request"),
        (a_sample_event("intake-drop"), "foreign_envelope"),
        ({**UNNAMED, "task_token": "t"}, "foreign_envelope"),
    ],
)
def test_call_that_is_refused_is_answered_and_kept(payload: object, code: str) -> None:
    office = Office()

    answer = call(office, payload)

    assert answer["code"] == code
    assert office.refusals.kept == [(Way.INVOKE, json.dumps(payload), code)]


def test_call_that_may_succeed_later_fails_so_that_it_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    office = Office(
        known_tenants(default=TenantSettings(has_document=True, max_running_jobs=1, max_waiting_jobs=1))
    )
    for number in range(2):
        call(office, UNNAMED, str(number))
    with pytest.raises(TooManyWaitingJobsError):
        call(office, UNNAMED, "2")

    def fail(*_: object) -> None:
        raise StoreUnavailableError("table")

    monkeypatch.setattr(office.store, "submit", fail)
    with pytest.raises(StoreUnavailableError):
        call(office, UNNAMED, "3")
    assert office.refusals.kept == []
