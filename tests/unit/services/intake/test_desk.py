from __future__ import annotations

import json
import logging
from datetime import timedelta
from itertools import cycle

import pytest

from rune.errors import StoreUnavailableError
from rune.events.record import PublicEvent, Subject, SubjectKind
from rune.jobs.record import Callback, Kind, Status
from rune.logs import JsonFormatter
from rune.services.intake import patience
from rune.services.intake.inbox import LINES_BETWEEN_ANSWERS
from rune.services.intake.ways import Way
from rune.services.workflow_answers import MOST_TOKENS, WorkflowAnswers
from rune.tenants.settings import TenantSettings
from tests.builders import NOW, a_benchmark_request, a_failure, after, an_ended_job
from tests.memory_job_store import MemoryJobStore
from tests.unit.services.intake.offices import Office, a_body, a_drop_event, an_order, known_tenants

KEY = "inbox/default/benchmark/a.json"
LINES = "inbox/default/benchmark/many.jsonl"
OF_KEY = "outbox/default/benchmark/a.json"
OF_LINES = "outbox/default/benchmark/many.jsonl"
SAMPLE_KEY = "inbox/default/benchmark/x+y é (1).json"


@pytest.fixture
def office() -> Office:
    return Office(inbox=inbox_with(SAMPLE_KEY, a_benchmark_request()).inbox)


def inbox_with(key: str, *requests: object) -> Office:
    """Return an office in whose inbox one object is."""
    office = Office()
    text = "\n".join(request if isinstance(request, str) else json.dumps(request) for request in requests)
    office.inbox.objects[key] = text.encode()
    return office


@pytest.mark.parametrize(
    ("way", "tenant"),
    [(way, "acme" if way is Way.BUS else "default") for way in Way if way is not Way.INVOKE],
)
def test_what_comes_in_twice_is_one_job_of_the_intakes_tenant(office: Office, way: Way, tenant: str) -> None:
    assert office.take(way, a_body(way)) is None
    assert office.take(way, a_body(way), receive_count=2) is None

    (job,) = office.jobs
    assert (job.tenant, job.kind, job.status) == (tenant, Kind.BENCHMARK, Status.QUEUED)
    assert office.refusals.kept == []
    assert len(office.queue.sent) == 1


def test_tenant_that_an_event_claims_is_not_asked_for(office: Office) -> None:
    event = json.loads(a_body(Way.BUS))
    event["detail"]["metadata"] = {"tenant": "default", "idempotency_key": "k"}

    office.take(Way.BUS, json.dumps(event))

    assert [job.tenant for job in office.jobs] == ["acme"]


def test_order_is_admitted_as_the_api_would_admit_it(office: Office) -> None:
    office.take(Way.QUEUE, a_body(Way.QUEUE))

    request = json.loads(office.store.read_request(office.jobs[0]))
    assert request["backend_url"] == "http://127.0.0.1:11434"
    assert request["timeout_seconds"] == 600


@pytest.mark.parametrize("way", [way for way in Way if way is not Way.INVOKE])
@pytest.mark.parametrize(
    ("settings", "code"),
    [
        (TenantSettings(), "tenant_unknown"),
        (TenantSettings(has_document=True, is_suspended=True), "tenant_suspended"),
    ],
)
def test_unknown_and_suspended_tenants_are_refused(
    office: Office, way: Way, settings: TenantSettings, code: str
) -> None:
    office.tenants = known_tenants(default=settings, acme=settings)

    assert office.take(way, a_body(way)) is None

    assert office.jobs == []
    assert office.refusals.codes == [code]


def test_terms_of_the_tenant_bind(office: Office) -> None:
    one_second = TenantSettings(has_document=True, max_runtime=timedelta(seconds=60))
    office.tenants = known_tenants(default=one_second)

    office.take(Way.QUEUE, an_order(request=a_benchmark_request(max_runtime_seconds=61)))

    assert office.refusals.codes == ["time_too_long"]


@pytest.mark.parametrize(
    ("way", "body", "code"),
    [
        (Way.QUEUE, "not JSON", "invalid_json"),
        (Way.QUEUE, '{"kind": "benchmark", "kind": "llm-instance"}', "invalid_json"),
        (Way.QUEUE, an_order(request={"model": "m"}), "invalid_request"),
        (Way.QUEUE, an_order(request=a_benchmark_request(vastai=True)), "vastai_not_available"),
        (Way.QUEUE, an_order(tenant="acme"), "invalid_request"),
        (Way.QUEUE, a_body(Way.DROP), "foreign_envelope"),
        (Way.TOPIC, an_order(), "foreign_envelope"),
        (Way.BUS, a_body(Way.BUS).replace("acme.ci", "acme.cd"), "source_unknown"),
        (Way.DROP, a_drop_event("inbox/default/chat/a.json"), "invalid_key"),
        (Way.DROP, a_body(Way.QUEUE), "foreign_envelope"),
    ],
)
def test_what_can_never_be_accepted_is_refused_at_once_with_the_reason(
    office: Office, way: Way, body: str, code: str
) -> None:
    assert office.take(way, body) is None

    assert office.jobs == []
    assert office.refusals.kept == [(way, body, code)]


def test_refusal_is_logged_with_the_message_that_it_is_about(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    office.take(Way.QUEUE, "not JSON", message_id="m-1")

    (line,) = [record for record in caplog.records if record.getMessage() == "intake.refused"]
    assert json.loads(JsonFormatter().format(line))["message_id"] == "m-1"


def test_accepted_job_is_audited_once_with_who_asked_for_it(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "rune")

    for _ in range(2):
        office.take(Way.QUEUE, an_order(), message_id="m-1")
    office.take(Way.QUEUE, "not JSON")

    (job,) = office.jobs
    (line,) = [
        json.loads(JsonFormatter().format(each)) for each in caplog.records if each.getMessage() == "audit"
    ]
    assert {name: line[name] for name in ("action", "tenant", "actor", "job_id")} == {
        "action": "post_benchmark",
        "tenant": "default",
        "actor": "trigger:queue",
        "job_id": job.job_id,
    }


def test_same_key_with_another_request_is_refused(office: Office) -> None:
    office.take(Way.QUEUE, an_order(idempotency_key="k"))
    office.take(Way.QUEUE, an_order(idempotency_key="k", request=a_benchmark_request(model="other")))

    assert len(office.jobs) == 1
    assert office.refusals.codes == ["idempotency_key_reused"]


def test_refusal_that_cannot_be_kept_is_made_again(office: Office) -> None:
    office.refusals.is_down = True

    assert office.take(Way.QUEUE, "not JSON") == patience.FIRST_DELAY_SECONDS

    office.refusals.is_down = False
    assert office.take(Way.QUEUE, "not JSON", receive_count=2) is None
    assert office.refusals.codes == ["invalid_json"]


# ---------------------------------------------------------------- what may succeed later


def test_tenant_with_too_many_waiting_jobs_is_asked_again_later_and_not_for_ever(office: Office) -> None:
    few = TenantSettings(has_document=True, max_running_jobs=1, max_waiting_jobs=1)
    office.tenants = known_tenants(default=few)
    for number in range(2):
        office.take(Way.QUEUE, an_order(idempotency_key=str(number)))

    delays: list[int | None] = []
    while None not in delays:
        receive_count = len(delays) + 1
        delays.append(office.take(Way.QUEUE, an_order(idempotency_key="2"), receive_count=receive_count))
        office.clock.advance(delays[-1] or 0)

    assert delays == [60, 60, 60, 120, 240, 480, *[900] * 11, None]
    assert office.refusals.codes == ["too_many_waiting_jobs"]
    assert len(office.jobs) == 2


@pytest.mark.parametrize("error", [StoreUnavailableError("table"), ZeroDivisionError()])
def test_failure_of_ours_is_tried_again_and_not_for_ever(
    office: Office, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(office.store, "submit", fail)

    assert office.take(Way.QUEUE, an_order()) == 15
    assert office.take(Way.QUEUE, an_order(), receive_count=4) == 120
    assert office.refusals.kept == []
    office.clock.advance(patience.PATIENCE.total_seconds())
    assert office.take(Way.QUEUE, an_order(), receive_count=5) is None
    assert office.refusals.codes in (["store_unavailable"], ["internal_error"])


# ---------------------------------------------------------------- drops


def test_object_is_answered_with_the_id_of_its_job() -> None:
    office = inbox_with(KEY, a_benchmark_request())

    office.take(Way.DROP, a_drop_event(KEY))

    assert office.inbox.answer(OF_KEY) == [{"job_id": office.jobs[0].job_id, "status": "accepted"}]


def test_object_that_is_refused_is_answered_with_the_problem() -> None:
    office = inbox_with(KEY, a_benchmark_request(model=7))

    office.take(Way.DROP, a_drop_event(KEY))

    (answer,) = office.inbox.answer(OF_KEY)
    assert (answer["status"], answer["code"]) == (422, "invalid_request")
    assert answer["errors"] == [
        {"pointer": "/model", "detail": "Input should be a valid string; you sent the number 7."}
    ]
    assert office.refusals.codes == ["invalid_request"]


def test_object_that_is_overwritten_is_another_job() -> None:
    office = inbox_with(KEY, a_benchmark_request())

    for sequencer in ("1", "2", "1"):
        office.take(Way.DROP, a_drop_event(KEY, sequencer=sequencer))

    assert len(office.jobs) == 2


def test_object_that_is_gone_is_no_job_and_no_refusal() -> None:
    office = Office()

    assert office.take(Way.DROP, a_drop_event(KEY)) is None

    assert (office.jobs, office.refusals.kept, office.inbox.answers) == ([], [], {})


def test_folder_marker_is_nothing() -> None:
    office = Office()

    assert office.take(Way.DROP, a_drop_event("inbox/default/", size=0)) is None

    assert (office.refusals.kept, office.inbox.answers) == ([], {})


def test_object_that_grew_is_refused_by_what_was_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rune.services.intake.inbox.LARGEST_BYTES", 5)
    office = inbox_with(KEY, "123456")

    office.take(Way.DROP, a_drop_event(KEY, size=5))

    assert office.refusals.codes == ["body_too_large"]
    assert office.inbox.answer(OF_KEY)[0]["code"] == "body_too_large"


def test_lines_are_answered_one_by_one_in_their_order() -> None:
    office = inbox_with(LINES, a_benchmark_request(), "not JSON", "", "[]", a_benchmark_request(model=7))

    office.take(Way.DROP, a_drop_event(LINES))

    answers = office.inbox.answer(OF_LINES)
    assert [(answer["line"], answer.get("code", "accepted")) for answer in answers] == [
        (1, "accepted"),
        (2, "invalid_json"),
        (4, "invalid_request"),
        (5, "invalid_request"),
    ]
    assert office.refusals.codes == ["lines_refused"]


def test_lines_that_are_equal_are_jobs_of_their_own() -> None:
    office = inbox_with(LINES, a_benchmark_request(), a_benchmark_request())

    office.take(Way.DROP, a_drop_event(LINES))
    office.take(Way.DROP, a_drop_event(LINES))

    assert len(office.jobs) == 2
    assert office.refusals.kept == []


LINE_COUNT = 200


@pytest.mark.parametrize("dies_at", [0, 1, LINES_BETWEEN_ANSWERS, 120, LINE_COUNT - 1])
def test_process_that_dies_costs_no_line_and_makes_none_twice(
    monkeypatch: pytest.MonkeyPatch, dies_at: int
) -> None:
    office = inbox_with(LINES, *[a_benchmark_request(question=str(number)) for number in range(LINE_COUNT)])
    submit, calls = office.store.submit, []

    def die(submission: object) -> object:
        calls.append(submission)
        if len(calls) == dies_at + 1:
            raise KeyboardInterrupt
        return submit(submission)  # type: ignore[arg-type]  # handed on

    monkeypatch.setattr(office.store, "submit", die)
    write = office.inbox.write_answer

    def write_until_it_dies(*given: object, **named: object) -> None:
        # A process that is killed runs no `finally`.
        if len(calls) <= dies_at:
            write(*given, **named)  # type: ignore[arg-type]  # handed on

    with monkeypatch.context() as dead:
        dead.setattr(office.inbox, "write_answer", write_until_it_dies)
        with pytest.raises(KeyboardInterrupt):
            office.take(Way.DROP, a_drop_event(LINES))

    assert office.take(Way.DROP, a_drop_event(LINES), receive_count=2) is None

    assert len(office.jobs) == LINE_COUNT
    assert [answer["line"] for answer in office.inbox.answer(OF_LINES)] == [*range(1, LINE_COUNT + 1)]
    # What was answered is not submitted again.
    assert len(calls) - LINE_COUNT <= LINES_BETWEEN_ANSWERS


def test_lines_go_on_at_once_when_the_time_is_over() -> None:
    office = inbox_with(LINES, *[a_benchmark_request(question=str(number)) for number in range(5)])
    left = iter([True, True, False])

    assert office.take(Way.DROP, a_drop_event(LINES), lambda: next(left)) == 1

    assert [answer["line"] for answer in office.inbox.answer(OF_LINES)] == [1, 2]
    assert office.take(Way.DROP, a_drop_event(LINES), receive_count=2) is None
    assert len(office.jobs) == 5


def test_lines_for_which_there_is_never_time_are_refused_in_the_end() -> None:
    office = inbox_with(LINES, *[a_benchmark_request(question=str(number)) for number in range(99)])
    takes: list[int | None] = []
    left = cycle([True, True, False])
    while None not in takes:
        receive_count = len(takes) + 1
        takes.append(
            office.take(Way.DROP, a_drop_event(LINES), lambda: next(left), receive_count=receive_count)
        )

    assert takes == [1] * (patience.MOST_RECEIVES - 1) + [None]
    assert office.refusals.codes == ["not_finished"]
    answers = office.inbox.answer(OF_LINES)
    assert [answer["line"] for answer in answers] == [*range(1, 2 * patience.MOST_RECEIVES + 2)]
    assert answers[-1]["status"] == 503


def test_lines_for_which_there_is_no_room_wait_and_are_refused_in_the_end() -> None:
    office = inbox_with(LINES, *[a_benchmark_request(question=str(number)) for number in range(5)])
    office.tenants = known_tenants(
        default=TenantSettings(has_document=True, max_running_jobs=1, max_waiting_jobs=1)
    )

    assert office.take(Way.DROP, a_drop_event(LINES)) == 60
    assert len(office.inbox.answer(OF_LINES)) == 2
    last = office.take(Way.DROP, a_drop_event(LINES), receive_count=patience.MOST_RECEIVES)

    assert last is None
    answers = office.inbox.answer(OF_LINES)
    assert [(answer["line"], answer["status"]) for answer in answers] == [
        (1, "accepted"),
        (2, "accepted"),
        (3, 429),
    ]
    assert office.refusals.codes == ["too_many_waiting_jobs"]


def test_lines_go_on_when_an_operator_sends_their_message_again() -> None:
    office = inbox_with(LINES, *[a_benchmark_request(question=str(number)) for number in range(3)])
    office.tenants = known_tenants(
        default=TenantSettings(has_document=True, max_running_jobs=1, max_waiting_jobs=1)
    )
    office.take(Way.DROP, a_drop_event(LINES), receive_count=patience.MOST_RECEIVES)
    office.tenants = known_tenants()

    assert office.take(Way.DROP, office.refusals.kept[0][1]) is None

    assert [answer["status"] for answer in office.inbox.answer(OF_LINES)] == ["accepted"] * 3
    assert len(office.jobs) == 3


def test_refused_lines_are_judged_again_when_their_message_is_sent_again() -> None:
    requests = [a_benchmark_request(question=str(number), max_runtime_seconds=61) for number in range(4)]
    office = inbox_with(LINES, *requests)
    one_minute = TenantSettings(has_document=True, max_runtime=timedelta(seconds=60))
    office.tenants = known_tenants(default=one_minute)
    office.take(Way.DROP, a_drop_event(LINES))
    assert office.refusals.codes == ["lines_refused"]
    assert [answer["status"] for answer in office.inbox.answer(OF_LINES)] == [422] * 4
    office.tenants = known_tenants()
    left = iter([True, True, False])

    # Also where the time is over between them.
    assert office.take(Way.DROP, office.refusals.kept[0][1], lambda: next(left)) == 1
    assert office.take(Way.DROP, office.refusals.kept[0][1], receive_count=2) is None

    answers = office.inbox.answer(OF_LINES)
    assert [(answer["line"], answer["status"]) for answer in answers] == [
        (number, "accepted") for number in range(1, 5)
    ]
    assert len(office.jobs) == 4
    assert len(office.refusals.kept) == 1


def test_accepted_lines_keep_their_answer_when_their_message_is_sent_again() -> None:
    office = inbox_with(LINES, "not JSON", a_benchmark_request(), "[]", a_benchmark_request(question="2"))
    office.take(Way.DROP, a_drop_event(LINES))
    first = office.inbox.answers[OF_LINES]
    # The keys of their jobs are forgotten earlier than the failure queue forgets the message.
    office.store = MemoryJobStore()

    assert office.take(Way.DROP, office.refusals.kept[0][1]) is None

    assert office.inbox.answers[OF_LINES] == first
    assert office.jobs == []


def test_refused_lines_are_forgotten_before_one_is_judged_again() -> None:
    office = inbox_with(LINES, a_benchmark_request(), "not JSON")
    office.take(Way.DROP, a_drop_event(LINES))

    office.take(Way.DROP, office.refusals.kept[0][1], lambda: False)

    assert [answer["line"] for answer in office.inbox.answer(OF_LINES)] == [1]


def test_answer_that_cannot_be_written_is_written_again() -> None:
    office = inbox_with(KEY, a_benchmark_request())
    office.inbox.fails_after = 0

    assert office.take(Way.DROP, a_drop_event(KEY)) == 15

    office.inbox.fails_after = None
    assert office.take(Way.DROP, a_drop_event(KEY), receive_count=2) is None
    assert office.inbox.answer(OF_KEY) == [{"job_id": office.jobs[0].job_id, "status": "accepted"}]


# ---------------------------------------------------------------- workflows


TASK = json.loads(a_body(Way.WORKFLOW))


def a_task(token: str) -> str:
    return json.dumps({**TASK, "task_token": token})


def test_job_keeps_the_token_of_the_task_that_waits(office: Office) -> None:
    office.take(Way.WORKFLOW, a_task("first"))

    (job,) = office.jobs
    assert job.calls_back
    assert office.store.read_callback(job) == Callback(None, "first", TASK["execution"], NOW)
    assert office.tasks.answers == []


@pytest.mark.parametrize("order", [("first", "second"), ("second", "first")])
def test_newest_token_stays_on_the_job_in_whatever_order_they_come(
    office: Office, order: tuple[str, str]
) -> None:
    sent_at = {"first": NOW, "second": after(60)}
    for token in order:
        office.take(Way.WORKFLOW, a_task(token), sent_at=sent_at[token])

    (job,) = office.jobs
    callback = office.store.read_callback(job)
    assert callback is not None
    assert callback.tokens == ("second", "first")


def test_end_is_told_to_each_known_token(office: Office) -> None:
    for number, token in enumerate(("real", "claimed", "real")):
        office.take(Way.WORKFLOW, a_task(token), sent_at=after(number))
    (job,) = office.jobs
    office.store.jobs[job.job_id] = an_ended_job(job_id=job.job_id, calls_back=True)

    subject = Subject(SubjectKind.JOB, job.job_id)
    end = PublicEvent("rune.job.succeeded", job.tenant, subject, 2, NOW, {})
    WorkflowAnswers(office.store, office.tasks).publish([end])

    assert {answer[:2] for answer in office.tasks.answers} == {("succeed", "real"), ("succeed", "claimed")}


def test_newest_few_tokens_are_kept(office: Office) -> None:
    for number in range(MOST_TOKENS + 2):
        office.take(Way.WORKFLOW, a_task(f"token-{number}"), sent_at=after(number))

    (job,) = office.jobs
    callback = office.store.read_callback(job)
    assert callback is not None
    assert callback.tokens == ("token-6", "token-5", "token-4", "token-3", "token-2")


def test_task_comes_again_when_another_token_was_written_at_the_same_moment(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.take(Way.WORKFLOW, a_task("first"))
    with monkeypatch.context() as patch:
        patch.setattr(office.store, "replace_callback", lambda *_: False)
        assert office.take(Way.WORKFLOW, a_task("second"), sent_at=after(1)) is not None

    assert office.take(Way.WORKFLOW, a_task("second"), sent_at=after(1), receive_count=2) is None


def test_job_that_has_ended_answers_a_new_token_at_once(office: Office) -> None:
    office.take(Way.WORKFLOW, a_task("first"))
    (job,) = office.jobs
    office.store.jobs[job.job_id] = an_ended_job(job_id=job.job_id, calls_back=True)

    office.take(Way.WORKFLOW, a_task("second"), sent_at=after(60))

    ((verb, token, output),) = office.tasks.answers
    assert (verb, token) == ("succeed", "second")
    assert json.loads(output) == {
        "job_id": job.job_id,
        "kind": "benchmark",
        "status": "succeeded",
        "job_url": f"/v1/jobs/{job.job_id}",
        "cost_usd": None,
    }


def test_answer_that_cannot_be_given_is_given_again(office: Office) -> None:
    office.take(Way.WORKFLOW, a_task("first"))
    (job,) = office.jobs
    office.store.jobs[job.job_id] = an_ended_job(
        Status.FAILED, job_id=job.job_id, calls_back=True, failure=a_failure()
    )
    office.tasks.is_down = True

    assert office.take(Way.WORKFLOW, a_task("first"), receive_count=2) == 30

    office.tasks.is_down = False
    assert office.take(Way.WORKFLOW, a_task("first"), receive_count=3) is None
    assert [answer[:3] for answer in office.tasks.answers] == [("fail", "first", "stream_truncated")]


def test_task_that_is_refused_fails_with_the_problem_and_its_token_is_kept_nowhere(office: Office) -> None:
    body = json.dumps({**TASK, "request": {}})

    office.take(Way.WORKFLOW, body)

    ((verb, token, error, cause),) = office.tasks.answers
    assert (verb, token, error) == ("fail", TASK["task_token"], "invalid_request")
    assert json.loads(cause)["status"] == 422
    ((_, kept, code),) = office.refusals.kept
    assert code == "invalid_request"
    assert json.loads(kept) == {
        name: value for name, value in json.loads(body).items() if name != "task_token"
    }
