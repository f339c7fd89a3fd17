from rune.jobs.history import History
from rune.jobs.record import Event, Status, StepName
from tests.builders import NOW, a_claimed_job, a_failure, after


def test_history_numbers_on_from_the_jobs_last_event() -> None:
    history = History(a_claimed_job(event_count=7, attempts=2), after(2))

    history.add_lost_workers()
    history.add_step_end(1500)
    history.add_job_end(Status.SUCCEEDED, None)

    assert history.events == (
        Event(8, "worker.lost", "error", after(2), None, "worker_lost", {"step": "check", "lost": "1"}),
        Event(9, "backend.list_models", "ok", after(2), 1500, None, {"step": "check", "try": "1"}),
        Event(10, "job.succeeded", "ok", after(2), 2000, None, {}),
    )


def test_history_is_silent_about_workers_when_none_was_lost() -> None:
    history = History(a_claimed_job(attempts=1), NOW)

    history.add_lost_workers()

    assert history.events == ()


def test_history_names_the_error_when_a_step_failed() -> None:
    history = History(a_claimed_job(step=StepName.ASK, failures=2), NOW)

    history.add_step_end(10, "stream_truncated")

    labels = {"step": "ask", "try": "3"}
    assert history.events == (Event(2, "agent.ask", "error", NOW, 10, "stream_truncated", labels),)


def test_history_names_the_error_when_the_job_failed() -> None:
    history = History(a_claimed_job(), after(1.5))

    history.add_job_end(Status.FAILED, a_failure(code="out_of_memory"))

    assert history.events == (Event(2, "job.failed", "error", after(1.5), 1500, "out_of_memory", {}),)
