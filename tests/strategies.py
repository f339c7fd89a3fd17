"""Jobs, outcomes and changes for Hypothesis, also such as the engine never makes."""

from __future__ import annotations

from datetime import datetime, timedelta

from hypothesis import strategies as st

from rune.jobs import lifecycle
from rune.jobs.outcomes import Again, Cancelled, Done, Failed, Next, Outcome, Requeue
from rune.jobs.record import DueClass, Event, Failure, Job, Kind, Status, StepName
from rune.jobs.transitions import cancel_queued, make_transition
from rune.storage.change import Change
from tests.builders import JOB_ID, NOW

# What a store keeps: whole milliseconds.
instants = st.integers(-100_000, 10**9).map(lambda ms: NOW + timedelta(milliseconds=ms))
counts = st.integers(0, 10**6)
texts = st.text(st.characters(codec="utf-8"), max_size=40)
count_maps = st.dictionaries(st.sampled_from(["chunks", "load", "first_token", "check"]), counts)

failures = st.builds(Failure, texts, texts, st.sampled_from(StepName), st.booleans())

jobs = st.builds(
    Job,
    job_id=st.just(JOB_ID),
    # A key of the index `waiting`, which is never empty.
    tenant=texts.filter(bool),
    kind=st.sampled_from(Kind),
    status=st.sampled_from(Status),
    step=st.sampled_from(StepName),
    seq=st.integers(1, 20),
    epoch=st.integers(0, 20),
    version=st.integers(1, 99),
    event_count=counts,
    created_at=instants,
    updated_at=instants,
    deadline_at=instants,
    # DynamoDB's TTL counts in seconds.
    expires_at=instants.map(lambda instant: instant.replace(microsecond=0)),
    max_runtime_seconds=st.integers(30, 86_400),
    waiting_since=st.none() | instants,
    slot=st.none() | st.integers(0, 999),
    begin_by=st.none() | instants,
    looks_again_at=st.none() | instants,
    rents=st.booleans(),
    due_at=st.none() | instants,
    due_class=st.none() | st.sampled_from(DueClass),
    lease_owner=st.none() | st.sampled_from(["worker-1", "worker-2"]),
    lease_until=st.none() | instants,
    cancel_requested_at=st.none() | instants,
    started_at=st.none() | instants,
    finished_at=st.none() | instants,
    attempts=st.integers(0, 6),
    failures=st.integers(0, 3),
    dispatches=st.integers(0, 9),
    failure=st.none() | failures,
    progress=count_maps,
    phases_ms=count_maps,
)

events = st.builds(
    Event,
    number=st.integers(1, 99_999_999),
    name=texts,
    status=st.sampled_from(["ok", "error"]),
    recorded_at=instants,
    duration_ms=st.none() | counts,
    error_type=st.none() | texts,
    labels=st.dictionaries(st.sampled_from(["step", "try", "lost"]), texts),
)

outcomes: st.SearchStrategy[Outcome] = st.one_of(
    st.builds(Next, st.sampled_from(StepName), st.integers(-1, 2000), count_maps),
    st.builds(Again, st.integers(-1, 2000), count_maps),
    st.builds(Requeue, st.integers(1, 100), count_maps),
    st.builds(Done, st.just("{}")),
    st.builds(Failed, texts, texts, st.booleans(), st.none() | st.integers(-1, 2000)),
    st.just(Cancelled()),
)


@st.composite
def changes_of(draw: st.DrawFn, job: Job) -> Change:
    """Draw a change that was decided on this job, or on another state of it."""
    seen = draw(st.just(job) | jobs)
    now = draw(st.sampled_from(_instants_around(job)) | instants)
    match draw(
        st.sampled_from(
            ["claim", "renew", "request_cancel", "redispatch", "cancel_queued", "make_transition"]
        )
    ):
        case "claim":
            return lifecycle.claim(seen, seen.seq, "worker-9", now)
        case "renew":
            return lifecycle.renew(seen, draw(count_maps), now)
        case "request_cancel":
            return lifecycle.request_cancel(seen, now)
        case "redispatch":
            return lifecycle.redispatch(seen, now)
        case "cancel_queued":
            return cancel_queued(seen, now).change
        case _:
            return make_transition(seen, draw(outcomes), now, 7).change


def _instants_around(job: Job) -> list[datetime]:
    """Return where an instant decides about a lease."""
    until = job.lease_until or NOW
    return [until + timedelta(milliseconds=ms) for ms in (-1, 0, 1)]
