"""Each job that has ended is one line in the archive, the same however often it is written."""

from __future__ import annotations

import json
import logging
from typing import override

import pytest

from rune.contracts.archive import ArchivedJob
from rune.errors import JobNotFoundError, StoreUnavailableError, UnreadableRowError
from rune.events.record import PublicEvent, Subject, SubjectKind
from rune.jobs.outcomes import Done
from rune.jobs.record import Job, Kind, Status, StepName
from rune.jobs.store import ObjectStore, StoredJob, Submission
from rune.jobs.transitions import make_transition
from rune.services.archive import ENDS, ArchiveSink, archive_key, archived_job
from rune.services.publishing import Publisher
from rune.storage.change import Change
from tests.archive_docs import EXAMPLE, PAGE, SCHEMA, page_text, schema_text
from tests.builders import JOB_ID, NOW, FakeClock, a_claimed_job, a_failure, after, an_ended_job, an_event
from tests.memory_job_store import MemoryJobStore
from tests.memory_outbox import MemoryOutbox

KEY = f"archive/default/benchmark/2026-11-23/{JOB_ID}.json"
REQUEST = {"question": "q", "model": "llama3.1:8b", "backend_type": "openai"}
AWKWARD = 'a\nb\r\nc\rd\u2028e\u0085f"}\n{\0é\U0001f600'


class Bucket(ObjectStore):
    """Objects in memory, with the writes in their order."""

    def __init__(self) -> None:
        self.writes: list[tuple[str, str]] = []
        self.is_down = False

    @override
    def put(self, key: str, text: str) -> None:
        if self.is_down:
            raise StoreUnavailableError("The bucket cannot be reached now.")
        self.writes.append((key, text))

    @override
    def get(self, key: str) -> str:
        return dict(self.writes)[key]


class World:
    """A job, and the archive."""

    def __init__(self, job: Job | None, result_json: str | None = '{"answer":"a"}') -> None:
        self.jobs, self.bucket = MemoryJobStore(), Bucket()
        if job is not None:
            self.jobs.submit(Submission(job, json.dumps(REQUEST), an_event()))
            if result_json is not None:
                self.jobs.put_result(job.job_id, result_json)
        self.sink = ArchiveSink(self.jobs, self.bucket)

    def publish(self, *names: str) -> None:
        """Hand the sink events of the job by their types."""
        subject = Subject(SubjectKind.JOB, JOB_ID)
        self.sink.publish(
            [PublicEvent(name, "default", subject, number, NOW, {}) for number, name in enumerate(names, 1)]
        )


def test_line_tells_all_of_a_job_that_has_ended() -> None:
    world = World(
        an_ended_job(
            started_at=after(1.5),
            phases_ms={"load": 10, "measure": 20},
            rents=True,
            rental_id="r-1",
            cost_micro_usd=38_901,
            warnings=("template_not_allowed",),
        )
    )

    world.publish("rune.job.accepted", "rune.job.step", "rune.job.succeeded")

    ((key, text),) = world.bucket.writes
    assert key == KEY
    assert json.loads(text) == {
        "schema_version": "1.0",
        "tenant": "default",
        "kind": "benchmark",
        "day": "2026-11-23",
        "job_id": JOB_ID,
        "status": "succeeded",
        "model": "llama3.1:8b",
        "backend_type": "openai",
        "created_at": "2026-11-23T12:00:00.000Z",
        "started_at": "2026-11-23T12:00:01.500Z",
        "finished_at": "2026-11-23T12:01:00.000Z",
        "waited_ms": 1500,
        "ran_ms": 58_500,
        "phases_ms": {"load": 10, "measure": 20},
        "rents": True,
        "rental_id": "r-1",
        "cost_usd": "0.038901",
        "error": None,
        "error_code": None,
        "error_stage": None,
        "error_retryable": None,
        "warnings": ["template_not_allowed"],
        "result": '{"answer":"a"}',
    }


@pytest.mark.parametrize("status", [Status.FAILED, Status.CANCELLED])
def test_line_tells_of_a_job_without_a_result(status: Status) -> None:
    job = an_ended_job(status, failure=a_failure() if status is Status.FAILED else None)
    world = World(job, result_json=None)

    world.publish(f"rune.job.{status.value}")

    ((_, text),) = world.bucket.writes
    line = json.loads(text)
    assert (line["status"], line["result"], line["cost_usd"]) == (status.value, None, None)
    told = [line[name] for name in ("error", "error_code", "error_stage", "error_retryable")]
    failed = ["The answer broke off.", "stream_truncated", "measure", True]
    assert told == (failed if status is Status.FAILED else [None] * 4)


def test_job_that_no_worker_took_has_waited_until_its_end() -> None:
    line = archived_job(an_ended_job(Status.CANCELLED, started_at=None), "{}", None)

    assert (line.started_at, line.waited_ms, line.ran_ms) == (None, 60_000, None)


def test_clocks_that_differ_make_no_negative_time() -> None:
    line = archived_job(an_ended_job(started_at=after(-1), finished_at=after(-2)), "{}", None)

    assert (line.waited_ms, line.ran_ms) == (0, 0)


@pytest.mark.parametrize(
    "name", ["rune.job.accepted", "rune.job.running", "rune.job.step", "rune.rental.gone"]
)
def test_other_events_write_nothing(name: str) -> None:
    world = World(an_ended_job())

    world.publish(name)

    assert world.bucket.writes == []


def test_same_job_is_the_same_object_with_the_same_text() -> None:
    world = World(an_ended_job())

    world.publish("rune.job.succeeded")
    world.publish("rune.job.succeeded", "rune.job.succeeded")

    assert len(world.bucket.writes) == 3
    assert len(set(world.bucket.writes)) == 1


class DyingOutbox(MemoryOutbox):
    """An outbox whose process dies before it says how far it got, the first time."""

    deaths = 1

    @override
    def update(self, subject: Subject, change: Change) -> bool:
        if self.deaths:
            self.deaths -= 1
            raise KeyboardInterrupt
        return super().update(subject, change)


def test_publisher_that_dies_after_the_line_was_written_writes_it_again_as_it_was() -> None:
    world, outbox = World(a_claimed_job(step=StepName.MEASURE)), DyingOutbox()
    job = world.jobs.jobs[JOB_ID]
    assert world.jobs.commit(job, make_transition(job, Done('{"answer":"a"}'), after(9), 5))
    publisher = Publisher(outbox, world.jobs, [world.sink], FakeClock())
    subject = Subject(SubjectKind.JOB, JOB_ID)

    with pytest.raises(KeyboardInterrupt):
        publisher.publish(subject)
    publisher.publish(subject)
    publisher.publish(subject)

    assert len(world.bucket.writes) == 2
    assert len(set(world.bucket.writes)) == 1
    assert outbox.read(subject).pointers == {"archive": 3}


def test_line_is_one_line_whatever_is_in_it() -> None:
    world = World(
        an_ended_job(Status.FAILED, failure=a_failure(sentence=AWKWARD)), json.dumps({"answer": AWKWARD})
    )

    world.publish("rune.job.failed")

    ((_, text),) = world.bucket.writes
    assert text.endswith("\n")
    assert not {"\n", "\r"} & set(text[:-1])
    assert json.loads(json.loads(text)["result"]) == {"answer": AWKWARD}


def test_what_rune_keeps_for_itself_is_left_out() -> None:
    line = archived_job(an_ended_job(), "{}", '{"answer":"a","bookkeeping":{"record_keys":["x"]}}')

    assert line.result == '{"answer":"a"}'


@pytest.mark.parametrize(
    ("job", "result_json"),
    [(a_claimed_job(), None), (an_ended_job(), None)],
    ids=["its row is not there yet", "its result is not there yet"],
)
def test_end_that_is_not_all_there_is_archived_later(job: Job, result_json: str | None) -> None:
    world = World(job, result_json)

    with pytest.raises(StoreUnavailableError):
        world.publish("rune.job.succeeded")

    assert world.bucket.writes == []


def test_job_that_is_gone_holds_up_nothing(caplog: pytest.LogCaptureFixture) -> None:
    world = World(None)

    with caplog.at_level(logging.ERROR):
        world.publish("rune.job.succeeded")

    assert [record.msg for record in caplog.records] == ["archive.job_gone"]


def test_request_that_is_gone_leaves_its_members_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(an_ended_job())

    def fail(job: Job) -> str:
        raise JobNotFoundError(job.job_id)

    monkeypatch.setattr(world.jobs, "read_request", fail)
    world.publish("rune.job.succeeded")

    line = json.loads(world.bucket.get(KEY))
    assert (line["model"], line["backend_type"]) == (None, None)


def test_bucket_that_is_away_is_told_to_the_publisher() -> None:
    world = World(an_ended_job())
    world.bucket.is_down = True

    with pytest.raises(StoreUnavailableError):
        world.publish("rune.job.succeeded")


def test_row_of_another_version_is_left_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(an_ended_job())

    def fail(_job_id: str) -> StoredJob:
        raise UnreadableRowError("A later one.")

    monkeypatch.setattr(world.jobs, "read_with_result", fail)
    with pytest.raises(UnreadableRowError):
        world.publish("rune.job.succeeded")


@pytest.mark.parametrize(
    ("micro_usd", "text"),
    [(0, "0.000000"), (1, "0.000001"), (999_999_999, "999.999999"), (30_000_000, "30.000000")],
)
def test_money_is_exact_text(micro_usd: int, text: str) -> None:
    line = archived_job(an_ended_job(rents=True, cost_micro_usd=micro_usd), "{}", None)

    assert json.loads(line.model_dump_json())["cost_usd"] == text


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("finished_at", [after(12 * 3600 - 0.001), after(12 * 3600)])
def test_key_is_of_the_day_in_utc_on_which_the_job_ended(kind: Kind, finished_at: object) -> None:
    line = archived_job(an_ended_job(tenant="team.a", kind=kind, finished_at=finished_at), "{}", None)

    day = "2026-11-23" if finished_at == after(12 * 3600 - 0.001) else "2026-11-24"
    assert archive_key(line) == f"archive/team.a/{kind.value}/{day}/{JOB_ID}.json"


def test_each_end_of_a_job_is_archived() -> None:
    assert {
        f"rune.job.{status.value}" for status in Status if status not in {Status.QUEUED, Status.RUNNING}
    } == ENDS


def test_line_is_read_by_its_own_contract_and_ignores_what_a_later_version_adds() -> None:
    later = {**json.loads(EXAMPLE.model_dump_json()), "added": 1}

    read = ArchivedJob.model_validate_json(json.dumps(later))

    assert read == EXAMPLE


def test_schema_and_columns_are_printed_from_the_contract() -> None:
    assert SCHEMA.read_text() == schema_text()
    assert PAGE.read_text() == page_text(PAGE.read_text())
