"""A process that dies between any two effects of taking a message, which then comes again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import pytest

from rune.services.intake.ways import Way
from tests.builders import a_benchmark_request, an_ended_job
from tests.unit.services.intake.offices import Office, a_body, a_drop_event, an_order

KEY = "inbox/default/benchmark/a.json"
LINES = "inbox/default/benchmark/a.jsonl"
TASK = json.loads(a_body(Way.WORKFLOW))
EFFECTS = (
    ("store", "submit"),
    ("store", "replace_callback"),
    ("queue", "send"),
    ("inbox", "write_answer"),
    ("tasks", "succeed"),
    ("tasks", "fail"),
    ("refusals", "put"),
)
MOST_EFFECTS = 12
"""More than any of the messages here has."""


class DeadError(BaseException):
    """The process is gone: nothing of it may run any more."""


@dataclass
class Countdown:
    """Dies before or after the effect with a number, and does nothing from then on."""

    number: int
    is_after: bool
    seen: int = 0
    is_dead: bool = False

    def wrap[**P, R](self, effect: Callable[P, R]) -> Callable[P, R]:
        def carried_out(*given: P.args, **named: P.kwargs) -> R:
            if self.is_dead:
                raise DeadError
            self.seen += 1
            self.is_dead = self.seen == self.number
            if self.is_dead and not self.is_after:
                raise DeadError
            result = effect(*given, **named)
            if self.is_dead:
                raise DeadError
            return result

        return carried_out


@contextmanager
def dying(office: Office, countdown: Countdown) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for part, name in EFFECTS:
            owner = getattr(office, part)
            patch.setattr(owner, name, countdown.wrap(getattr(owner, name)))
        yield


def an_office() -> Office:
    """Return an office with objects in its inbox."""
    office = Office()
    office.inbox.objects[KEY] = json.dumps(a_benchmark_request()).encode()
    office.inbox.objects["inbox/default/benchmark/bad.json"] = b"not JSON"
    lines = [json.dumps(a_benchmark_request()), "not JSON", json.dumps(a_benchmark_request())]
    office.inbox.objects[LINES] = "\n".join(lines).encode()
    return office


CASES: dict[str, tuple[Way, str, int, int, int]] = {
    # Way, body, jobs, lines of answers, refusals.
    "order": (Way.QUEUE, an_order(), 1, 0, 0),
    "refused order": (Way.QUEUE, "not JSON", 0, 0, 1),
    "event": (Way.BUS, a_body(Way.BUS), 1, 0, 0),
    "notification": (Way.TOPIC, a_body(Way.TOPIC), 1, 0, 0),
    "object": (Way.DROP, a_drop_event(KEY), 1, 1, 0),
    "refused object": (Way.DROP, a_drop_event("inbox/default/benchmark/bad.json"), 0, 1, 1),
    "lines": (Way.DROP, a_drop_event(LINES), 2, 3, 1),
    "task": (Way.WORKFLOW, a_body(Way.WORKFLOW), 1, 0, 0),
    "refused task": (Way.WORKFLOW, json.dumps({**TASK, "request": {}}), 0, 0, 1),
}


@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("case", CASES)
def test_nothing_is_lost_or_doubled_wherever_a_process_dies(case: str, *, is_after: bool) -> None:
    way, body, job_count, line_count, refusal_count = CASES[case]
    for number in range(1, MOST_EFFECTS + 1):
        office = an_office()
        countdown = Countdown(number, is_after)
        with dying(office, countdown), suppress(DeadError):
            office.take(way, body)
            assert not countdown.is_dead

        assert office.take(way, body, receive_count=2) is None

        assert len(office.jobs) == job_count
        assert sum(len(office.inbox.answer(key)) for key in office.inbox.answers) == line_count
        # A refusal that was kept before the process died is kept again: that one is told twice.
        assert refusal_count <= len(office.refusals.kept) <= 2 * refusal_count
        if not countdown.is_dead:
            break
    assert number > 1
    assert not countdown.is_dead


@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
def test_task_of_an_ended_job_is_told_wherever_a_process_dies(*, is_after: bool) -> None:
    for number in range(1, MOST_EFFECTS + 1):
        office = an_office()
        office.take(Way.WORKFLOW, json.dumps(TASK))
        (job,) = office.jobs
        office.store.jobs[job.job_id] = an_ended_job(job_id=job.job_id, calls_back=True)
        countdown, again = Countdown(number, is_after), json.dumps({**TASK, "task_token": "second"})
        with dying(office, countdown), suppress(DeadError):
            office.take(Way.WORKFLOW, again)

        assert office.take(Way.WORKFLOW, again, receive_count=2) is None

        assert {answer[:2] for answer in office.tasks.answers} == {("succeed", "second")}
        if not countdown.is_dead:
            break
    assert not countdown.is_dead
