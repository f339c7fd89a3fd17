from rune.jobs.outcomes import Done, Failed, Note, Outcome
from rune.jobs.record import Event, Job, StepName
from rune.jobs.transitions import make_transition
from tests.builders import a_claimed_job, after


def events_of(job: Job, outcome: Outcome, seconds: float = 2) -> tuple[Event, ...]:
    """Return the events of a turn that ends so long after the job was accepted."""
    return make_transition(job, outcome, after(seconds), duration_ms=1500).events


def test_events_are_numbered_on_from_the_jobs_last() -> None:
    assert events_of(a_claimed_job(event_count=7, attempts=2), Done("{}")) == (
        Event(8, "worker.lost", "error", after(2), None, "worker_lost", {"step": "check", "lost": "1"}),
        Event(9, "backend.list_models", "ok", after(2), 1500, None, {"step": "check", "try": "1"}),
        Event(10, "job.succeeded", "ok", after(2), 2000, None, {}),
    )


def test_events_tell_of_no_lost_worker_when_there_was_none() -> None:
    names = [event.name for event in events_of(a_claimed_job(attempts=1), Done("{}"))]

    assert names == ["backend.list_models", "job.succeeded"]


def test_events_name_the_error_when_a_step_failed() -> None:
    job = a_claimed_job(step=StepName.MEASURE, failures=1)

    labels = {"step": "measure", "try": "2"}
    assert events_of(job, Failed("stream_truncated", "Cut.", retryable=True)) == (
        Event(2, "benchmark.measure", "error", after(2), 1500, "stream_truncated", labels),
    )


def test_events_name_the_error_when_the_job_failed() -> None:
    *_, last = events_of(a_claimed_job(), Failed("out_of_memory", "Full.", retryable=False), seconds=1.5)

    assert last == Event(3, "job.failed", "error", after(1.5), 1500, "out_of_memory", {})


def test_events_tell_what_a_step_found_before_they_tell_of_its_end() -> None:
    note = Note("vastai.offer_search", {"offers": "0"}, "no_offer_fits", 40)
    failed = Failed("no_offer_fits", "None fits.", retryable=False, notes=(note,))

    first, second, _ = events_of(a_claimed_job(), failed)

    assert first == Event(2, "vastai.offer_search", "error", after(2), 40, "no_offer_fits", {"offers": "0"})
    assert second.name == "backend.list_models"
