"""Every write that has a condition, with what it is allowed on, and what each requirement alone keeps out."""

from __future__ import annotations

from rune.jobs import lifecycle
from rune.jobs.outcomes import Again, Cancelled, Done, Failed, Next
from rune.jobs.record import Status, StepName
from rune.jobs.transitions import cancel_queued, make_transition
from tests.builders import NOW, a_claimed_job, a_job, a_waiting_job, after
from tests.functional.aws.guarded import Guarded

CLAIM = Guarded(
    "claim",
    lifecycle.claim(2, "worker-2", NOW),
    a_waiting_job(),
    (
        ("seq", a_waiting_job(seq=1)),
        ("seq", a_waiting_job(seq=3)),
        ("status", a_waiting_job(status=Status.SUCCEEDED)),
        ("status", a_waiting_job(status=Status.FAILED)),
        ("status", a_waiting_job(status=Status.CANCELLED)),
        ("lease_until", a_waiting_job(lease_until=NOW)),
        ("lease_until", a_waiting_job(lease_until=after(60))),
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
REQUEST_CANCEL = Guarded(
    "request_cancel",
    lifecycle.request_cancel(NOW),
    a_waiting_job(),
    (
        ("status", a_waiting_job(status=Status.SUCCEEDED)),
        ("status", a_waiting_job(status=Status.FAILED)),
        ("status", a_waiting_job(status=Status.CANCELLED)),
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
SET_ASIDE = Guarded(
    "set_aside",
    lifecycle.set_aside(after(61)),
    a_waiting_job(due_at=after(60)),
    (
        ("due_at", a_waiting_job(due_at=after(61))),
        ("status", a_waiting_job(status=Status.SUCCEEDED, due_at=after(60))),
        ("status", a_waiting_job(status=Status.FAILED, due_at=after(60))),
        ("status", a_waiting_job(status=Status.CANCELLED, due_at=after(60))),
    ),
)
CANCEL_QUEUED = Guarded(
    "cancel_queued",
    cancel_queued(a_job(), NOW).change,
    a_job(),
    (("status", a_job(status=Status.RUNNING)), ("status", a_job(status=Status.CANCELLED))),
)
COMMIT = tuple(
    Guarded(
        "make_transition",
        make_transition(a_claimed_job(), outcome, after(5), 5).change,
        a_claimed_job(),
        (("epoch", a_claimed_job(epoch=2)), ("epoch", a_claimed_job(epoch=0))),
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
        (
            ("epoch", a_claimed_job(epoch=2)),
            ("epoch", a_claimed_job(epoch=0)),
            ("cancel_requested_at", a_claimed_job(cancel_requested_at=NOW)),
            ("cancel_requested_at", a_claimed_job(cancel_requested_at=after(4.999))),
        ),
    )
    for outcome in (
        Next(StepName.WARM_UP, delay_seconds=30),
        Again(30),
        Failed("server_overloaded", "Come later.", retryable=True),
    )
)

GUARDED = (CLAIM, RENEW, REQUEST_CANCEL, REDISPATCH, SET_ASIDE, CANCEL_QUEUED, *COMMIT, *COMMIT_WITH_DELAY)
"""Held complete by `test_guards.py`: every function that makes a change, every requirement of each."""
