"""Each condition of the job store alone refuses a write, in DynamoDB and in memory alike."""

from __future__ import annotations

import inspect
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from rune.aws.job_rows import hot_item, job_expression
from rune.errors import StoreUnavailableError
from rune.jobs import lifecycle
from rune.jobs import transitions as transition
from rune.jobs.record import Job
from rune.jobs.store import JobStore, Refused, Submission
from rune.jobs.transitions import Transition
from rune.storage.change import Change, allows, apply, satisfies
from tests.builders import JOB_ID, a_job, an_ended_job, an_event
from tests.functional.aws.guarded import Guarded
from tests.functional.aws.job_guards import GUARDED
from tests.memory_job_store import MemoryJobStore

if TYPE_CHECKING:
    from tests.cloud import Cloud

pytestmark = pytest.mark.slow

KEPT_OUT = [(guarded, field, job) for guarded in GUARDED for field, job in guarded.refuses]
NAMES = [f"{guarded.function}-{field}" for guarded, field, _ in KEPT_OUT]


@pytest.fixture(params=["dynamodb", "memory"])
def store(request: pytest.FixtureRequest) -> JobStore:
    if request.param == "memory":
        return MemoryJobStore()
    cloud: Cloud = request.getfixturevalue("cloud")
    return cloud.store


def put(store: JobStore, job: Job) -> None:
    store.submit(Submission(job, "{}", an_event()))


def test_table_of_guards_names_every_function_that_makes_a_change() -> None:
    makers = {
        name
        for module in (lifecycle, transition)
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__
        and not name.startswith("_")
        and function.__annotations__["return"] in (Change, Transition, tuple[Transition, Job])
    }

    assert {guarded.function for guarded in GUARDED} == makers


@pytest.mark.parametrize("guarded", GUARDED, ids=lambda guarded: guarded.function)
def test_table_of_guards_names_every_requirement(guarded: Guarded[Job]) -> None:
    required = {requirement.field for requirement in guarded.change.requires}

    assert {field for field, _ in guarded.refuses} == required
    assert allows(guarded.change, guarded.accepts)


@pytest.mark.parametrize(("guarded", "field", "job"), KEPT_OUT, ids=NAMES)
def test_table_of_guards_violates_one_requirement_at_a_time(
    guarded: Guarded[Job], field: str, job: Job
) -> None:
    violated = [r.field for r in guarded.change.requires if not satisfies(job, r)]

    assert violated == [field]


@pytest.mark.parametrize("guarded", GUARDED, ids=lambda guarded: guarded.function)
def test_update_writes_when_nothing_stands_against_it(guarded: Guarded[Job], store: JobStore) -> None:
    put(store, guarded.accepts)

    written = store.update(JOB_ID, guarded.change)

    assert written == apply(guarded.change, guarded.accepts) == store.read(JOB_ID)


@pytest.mark.parametrize(("guarded", "field", "job"), KEPT_OUT, ids=NAMES)
def test_update_refuses_when_one_requirement_fails(
    guarded: Guarded[Job], field: str, job: Job, store: JobStore
) -> None:
    put(store, job)

    assert store.update(JOB_ID, guarded.change) == Refused(job)
    assert store.read(JOB_ID) == job


@pytest.mark.parametrize("guarded", GUARDED, ids=lambda guarded: guarded.function)
def test_commit_writes_when_nothing_stands_against_it(guarded: Guarded[Job], store: JobStore) -> None:
    put(store, guarded.accepts)

    assert store.commit(guarded.accepts, Transition(guarded.change, (), None, None))
    assert store.read(JOB_ID) == apply(guarded.change, guarded.accepts)


@pytest.mark.parametrize(("guarded", "field", "job"), KEPT_OUT, ids=NAMES)
def test_commit_refuses_everything_when_one_requirement_fails(
    guarded: Guarded[Job], field: str, job: Job, store: JobStore
) -> None:
    put(store, job)
    whole = Transition(guarded.change, (an_event(2),), '{"answer": "late"}', None, '{"runs": 1}')

    assert not store.commit(guarded.accepts, whole)

    stored, history = store.read_with_result(JOB_ID), store.read_events(JOB_ID, 0)
    assert stored
    assert history
    assert (stored.job, stored.result_json, history.events) == (job, None, (an_event(),))
    assert store.read_state(job) is None


@pytest.mark.parametrize("guarded", GUARDED, ids=lambda guarded: guarded.function)
def test_update_and_commit_refuse_when_there_is_no_such_job(guarded: Guarded[Job], store: JobStore) -> None:
    whole = Transition(guarded.change, (), None, None)

    assert store.update(JOB_ID, guarded.change) == Refused(None)
    assert not store.commit(guarded.accepts, whole)
    assert store.read(JOB_ID) is None


@pytest.mark.parametrize("found", [a_job(), an_ended_job()], ids=["same", "ended"])
def test_submit_refuses_when_the_id_is_taken(found: Job, store: JobStore) -> None:
    store.submit(Submission(found, '{"question": "first"}', an_event()))

    with pytest.raises(StoreUnavailableError):
        store.submit(Submission(a_job(tenant="acme"), '{"question": "second"}', an_event(name="other")))

    history = store.read_events(JOB_ID, 0)
    assert history
    assert (history.job, history.events) == (found, (an_event(),))
    assert store.read_request(found) == '{"question": "first"}'


WORDS = re.compile(r"#?:?[A-Za-z_]\w*")
ALLOWED_WORDS = {"SET", "ADD", "REMOVE", "AND", "OR", "IN", "if_not_exists", "attribute_not_exists"}


@pytest.mark.parametrize("guarded", GUARDED, ids=lambda guarded: guarded.function)
def test_expression_holds_only_placeholders_of_plain_names(guarded: Guarded[Job]) -> None:
    expression = job_expression(JOB_ID, guarded.change)

    words = set(WORDS.findall(expression.update + " " + expression.condition)) - ALLOWED_WORDS
    assert words == {*expression.names, *expression.values}
    assert all(name.isidentifier() for name in expression.names.values())
    assert "." not in expression.update
    assert "[" not in expression.update


@pytest.mark.parametrize("guarded", GUARDED, ids=lambda guarded: guarded.function)
def test_expression_writes_no_path_twice(guarded: Guarded[Job]) -> None:
    """DynamoDB refuses overlapping paths; emulators take them."""
    update = job_expression(JOB_ID, guarded.change).update
    rest, _, removed = update.removeprefix("SET ").partition(" REMOVE ")
    assigned, _, added = rest.partition(" ADD ")

    # A comma inside if_not_exists(…) begins no assignment.
    targets = [part.split(" = ")[0] for part in assigned.split(", #") if " = " in part]
    paths = [target.removeprefix("#") for target in targets]
    paths += [part.split()[0].removeprefix("#") for part in added.split(", ") if part]
    paths += [name.removeprefix("#") for name in removed.split(", ") if name]
    assert sorted(paths) == sorted(set(paths))
    assert not {"job_id", "tenant", "created_at", "expires_at", "pk", "sk"} & set(paths)


@pytest.mark.parametrize("guarded", GUARDED, ids=lambda guarded: guarded.function)
def test_row_is_in_the_index_when_the_job_is_due(guarded: Guarded[Job], cloud: Cloud) -> None:
    put(cloud.store, guarded.accepts)
    cloud.store.update(JOB_ID, guarded.change)

    assert cloud.row(JOB_ID) == hot_item(apply(guarded.change, guarded.accepts))


def test_hot_item_leaves_the_index_when_the_job_is_not_due() -> None:
    assert "due_bucket" in hot_item(a_job())
    assert "due_bucket" not in hot_item(replace(a_job(), due_at=None))
