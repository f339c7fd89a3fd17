"""Every write that has a condition, with what it is allowed on, and what each requirement alone keeps out."""

from __future__ import annotations

from rune.jobs import lifecycle
from rune.jobs.outcomes import Again, Cancelled, Done, Failed, Next, Requeue
from rune.jobs.record import DueClass, Job, Status, StepName
from rune.jobs.transitions import cancel_queued, expire_queued, keep_hold, make_transition
from tests.builders import NOW, a_claimed_job, a_job, a_waiting_job, after
from tests.functional.aws.guarded import Guarded


def a_job_without_slot(**overrides: object) -> Job:
    """Return a job that waits to be admitted since `NOW`."""
    waiting = {"waiting_since": NOW, "due_at": after(86_400), "due_class": DueClass.WAIT}
    return a_job(**{**waiting, **overrides})


ADMIT = Guarded(
    "admit",
    lifecycle.admit(a_job_without_slot(), 3, after(5)),
    a_job_without_slot(),
    (
        ("status", a_job_without_slot(status=Status.CANCELLED)),
        ("status", a_job_without_slot(status=Status.FAILED)),
        ("status", a_job_without_slot(status=Status.RUNNING)),
        ("waiting_since", a_job_without_slot(waiting_since=None)),
        ("waiting_since", a_job_without_slot(waiting_since=after(0.001))),
        ("seq", a_job_without_slot(seq=2)),
    ),
)
FIRST_CLAIM = Guarded(
    "claim",
    lifecycle.claim(a_job(), 1, "worker-1", NOW),
    a_job(),
    (
        ("seq", a_job(seq=2)),
        ("status", a_job(status=Status.CANCELLED)),
        ("lease_until", a_job(lease_until=after(60))),
        ("waiting_since", a_job(waiting_since=NOW)),
        ("started_at", a_job(started_at=after(-5))),
    ),
)
CLAIM = Guarded(
    "claim",
    lifecycle.claim(a_waiting_job(), 2, "worker-2", NOW),
    a_waiting_job(),
    (
        ("seq", a_waiting_job(seq=1)),
        ("seq", a_waiting_job(seq=3)),
        ("status", a_waiting_job(status=Status.SUCCEEDED)),
        ("status", a_waiting_job(status=Status.FAILED)),
        ("status", a_waiting_job(status=Status.CANCELLED)),
        ("lease_until", a_waiting_job(lease_until=NOW)),
        ("lease_until", a_waiting_job(lease_until=after(60))),
        ("waiting_since", a_waiting_job(waiting_since=NOW)),
    ),
)
RENEW = Guarded(
    "renew",
    lifecycle.renew(a_claimed_job(), {"chunks": 3}, after(20)),
    a_claimed_job(),
    (
        ("lease_owner", a_claimed_job(lease_owner="worker-2")),
        ("lease_owner", a_claimed_job(lease_owner=None)),
    ),
)
ANNOUNCE_TOKENS = Guarded(
    "announce_tokens",
    lifecycle.announce_tokens(a_claimed_job(), 5_000, after(20)),
    a_claimed_job(),
    (
        ("lease_owner", a_claimed_job(lease_owner="worker-2")),
        ("lease_owner", a_claimed_job(lease_owner=None)),
    ),
)
REQUEST_CANCEL = Guarded(
    "request_cancel",
    lifecycle.request_cancel(a_waiting_job(), NOW),
    a_waiting_job(),
    (
        ("status", a_waiting_job(status=Status.SUCCEEDED)),
        ("status", a_waiting_job(status=Status.FAILED)),
        ("status", a_waiting_job(status=Status.CANCELLED)),
        ("waiting_since", a_waiting_job(waiting_since=NOW)),
    ),
)
REDISPATCH = Guarded(
    "redispatch",
    lifecycle.redispatch(a_waiting_job(), after(60)),
    a_waiting_job(),
    (
        ("due_at", a_waiting_job(due_at=after(60.001))),
        ("due_at", a_waiting_job(due_at=after(59.999))),
        ("due_at", a_waiting_job(due_at=None)),
    ),
)
PUT_OFF = Guarded(
    "put_off",
    lifecycle.put_off(a_waiting_job(), after(60)),
    a_waiting_job(),
    (
        ("due_at", a_waiting_job(due_at=after(60.001))),
        ("due_at", a_waiting_job(due_at=after(59.999))),
        ("due_at", a_waiting_job(due_at=None)),
    ),
)
SET_ASIDE = Guarded(
    "set_aside",
    lifecycle.set_aside(DueClass.RELEASE, after(61)),
    a_waiting_job(due_at=after(60)),
    (
        ("due_at", a_waiting_job(due_at=after(61))),
        ("status", a_waiting_job(status=Status.SUCCEEDED, due_at=after(60))),
        ("status", a_waiting_job(status=Status.FAILED, due_at=after(60))),
        ("status", a_waiting_job(status=Status.CANCELLED, due_at=after(60))),
    ),
)
END_QUEUED = tuple(
    Guarded(
        name,
        end(job, after(5)).change,
        job,
        (
            ("status", accepted(status=Status.RUNNING)),
            ("status", accepted(status=Status.CANCELLED)),
            ("waiting_since", accepted(waiting_since=other)),
            ("seq", accepted(seq=2)),
        ),
    )
    for name, end in (("cancel_queued", cancel_queued), ("expire_queued", expire_queued))
    for accepted, other in ((a_job, NOW), (a_job_without_slot, None))
    for job in (accepted(),)
)
"""The end of a job that no worker has: with a slot, and without one."""

LOST_TURN = (
    ("epoch", a_claimed_job(epoch=2)),
    ("epoch", a_claimed_job(epoch=0)),
    # The same call once more, after an answer that was lost.
    ("seq", a_claimed_job(seq=2)),
    ("seq", a_claimed_job(seq=0)),
)
CANCEL_REQUESTED = (
    ("cancel_requested_at", a_claimed_job(cancel_requested_at=NOW)),
    ("cancel_requested_at", a_claimed_job(cancel_requested_at=after(4.999))),
)
COMMIT = tuple(
    Guarded(
        "make_transition",
        make_transition(a_claimed_job(), outcome, after(5), 5).change,
        a_claimed_job(),
        LOST_TURN,
    )
    for outcome in (
        Next(StepName.WARM_UP),
        Again(0),
        Done("{}"),
        Failed("model_not_found", "There is none.", retryable=False),
        Cancelled(),
    )
)
COMMIT_WITH_DELAY = tuple(
    Guarded(
        "make_transition",
        make_transition(a_claimed_job(), outcome, after(5), 5).change,
        a_claimed_job(),
        (*LOST_TURN, *CANCEL_REQUESTED),
    )
    for outcome in (
        Next(StepName.WARM_UP, delay_seconds=30),
        Again(30),
        Failed("server_overloaded", "Come later.", retryable=True),
    )
)
COMMIT_AND_GO_ON = Guarded(
    "keep_hold",
    keep_hold(
        a_claimed_job(),
        make_transition(a_claimed_job(), Next(StepName.WARM_UP), after(5), 5),
        "worker-1-again",
        after(5),
    )[0].change,
    a_claimed_job(),
    (*LOST_TURN, *CANCEL_REQUESTED),
)
A_RENTING_JOB = {"rents": True, "slot": 3, "begin_by": after(86_400)}
REQUEUE = Guarded(
    "make_transition",
    make_transition(a_claimed_job(**A_RENTING_JOB), Requeue(50, {"machines_at_most": 1}), after(5), 5).change,
    a_claimed_job(**A_RENTING_JOB),
    (*LOST_TURN, *CANCEL_REQUESTED),
)

GUARDED = (
    ADMIT,
    FIRST_CLAIM,
    CLAIM,
    RENEW,
    ANNOUNCE_TOKENS,
    REQUEST_CANCEL,
    REDISPATCH,
    PUT_OFF,
    SET_ASIDE,
    *END_QUEUED,
    *COMMIT,
    *COMMIT_WITH_DELAY,
    COMMIT_AND_GO_ON,
    REQUEUE,
)
"""Held complete by `test_job_guards.py`: every function that makes a change, every requirement of each."""
