from dataclasses import replace

import pytest

from rune.jobs import plan
from rune.jobs.places import QueuePlace
from rune.jobs.plan import Lane
from rune.jobs.record import Job, Status, StepName
from tests.builders import NOW, a_claimed_job, a_failure, a_job, an_ended_job
from tests.template import load_template


def test_plan_knows_every_step() -> None:
    assert set(plan.STEPS) == set(StepName)


def test_plan_names_events_as_clients_know_them() -> None:
    events = {step: known.event for step, known in plan.STEPS.items()}

    assert events == {
        StepName.RENT: "vastai.instance.create",
        StepName.RECONCILE: "vastai.instance.reconcile",
        StepName.BOOT: "vastai.instance.wait_running",
        StepName.PULL: "vastai.model.pull",
        StepName.GIVE_BACK: "provider.teardown",
        StepName.RELEASE: "provider.teardown",
        StepName.CHECK: "backend.list_models",
        StepName.WARM_UP: "backend.warmup",
        StepName.MEASURE: "benchmark.measure",
        StepName.MEASURE_LOAD: "benchmark.measure",
        StepName.JUDGE: "benchmark.judge",
        StepName.CHECK_AGENT: "agent.check",
        StepName.RUN_AGENT: "agent.ask",
        StepName.VERIFY: "backend.list_models",
    }


@pytest.mark.parametrize(
    ("lane", "function"),
    [
        (Lane.MONEY, "MoneyWorkerFunction"),
        (Lane.INFERENCE, "InferenceWorkerFunction"),
        (Lane.LOAD, "LoadWorkerFunction"),
    ],
)
def test_lane_leaves_time_to_claim_and_commit_when_a_step_takes_all_it_may(lane: Lane, function: str) -> None:
    timeout_seconds = load_template()["Resources"][function]["Properties"]["Timeout"]

    assert 10 <= timeout_seconds - plan.LANE_TIME_LIMIT_SECONDS[lane] <= 30
    assert timeout_seconds - plan.LANE_TIME_LIMIT_SECONDS[lane] >= plan.SPARE_SECONDS


@pytest.mark.parametrize("step", StepName)
def test_time_limit_of_a_step_is_its_lanes_unless_it_only_looks_at_a_server(step: StepName) -> None:
    looks = {StepName.CHECK, StepName.CHECK_AGENT, StepName.VERIFY}

    limit_seconds = plan.LANE_TIME_LIMIT_SECONDS[plan.STEPS[step].lane]
    assert plan.time_limit_seconds_of(step) == (20 if step in looks else limit_seconds)


def test_no_step_of_the_money_lane_waits_for_a_server_that_a_caller_chose() -> None:
    assert {step for step, known in plan.STEPS.items() if known.lane is Lane.MONEY} == {
        StepName.RENT,
        StepName.RECONCILE,
        StepName.BOOT,
        StepName.GIVE_BACK,
        StepName.RELEASE,
    }


@pytest.mark.parametrize(
    ("job", "lane"),
    [
        (a_job(step=StepName.CHECK), Lane.INFERENCE),
        (a_job(step=StepName.WARM_UP), Lane.INFERENCE),
        (a_job(step=StepName.MEASURE), Lane.INFERENCE),
        (a_job(step=StepName.MEASURE_LOAD), Lane.LOAD),
        (a_job(step=StepName.CHECK_AGENT), Lane.INFERENCE),
        (a_job(step=StepName.RUN_AGENT), Lane.INFERENCE),
        (a_job(step=StepName.VERIFY), Lane.INFERENCE),
        (a_job(step=StepName.RENT), Lane.MONEY),
        (a_job(step=StepName.RECONCILE), Lane.MONEY),
        (a_job(step=StepName.BOOT), Lane.MONEY),
        (a_job(step=StepName.RELEASE), Lane.MONEY),
        (a_job(step=StepName.PULL), Lane.INFERENCE),
        (a_job(step=StepName.WARM_UP, cancel_requested_at=NOW), Lane.MONEY),
        (a_job(step=StepName.RUN_AGENT, cancel_requested_at=NOW), Lane.INFERENCE),
    ],
)
def test_lane_of_is_the_steps_own_unless_the_job_is_to_stop(job: Job, lane: Lane) -> None:
    assert plan.lane_of(job) is lane


@pytest.mark.parametrize(
    ("job", "sentence"),
    [
        (a_job(), "Waiting for a worker."),
        (a_claimed_job(), "Looking for the model on the server."),
        (a_claimed_job(step=StepName.WARM_UP), "Loading the model."),
        (a_claimed_job(step=StepName.MEASURE), "The model is being measured."),
        (a_claimed_job(step=StepName.CHECK_AGENT), "Looking for the agent and its model."),
        (a_claimed_job(step=StepName.RUN_AGENT), "The agent is at work."),
        (a_claimed_job(step=StepName.VERIFY), "Asking the server whether it is there."),
        (a_claimed_job(step=StepName.MEASURE, cancel_requested_at=NOW), "Stopping, as was asked."),
        (an_ended_job(), "Done."),
        (an_ended_job(Status.CANCELLED), "Cancelled, as was asked."),
        (
            an_ended_job(Status.CANCELLED, warnings=("renting_closed",)),
            "Cancelled, since the operator has every rented machine given back.",
        ),
        (an_ended_job(Status.FAILED, failure=a_failure(sentence="It broke.")), "It broke."),
        (an_ended_job(Status.FAILED, failure=None), "Failed."),
    ],
)
def test_describe_says_where_the_job_stands(job: Job, sentence: str) -> None:
    assert plan.describe(job) == sentence


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        (None, "Waiting for a slot."),
        (
            QueuePlace(1, is_exact=True, wait_seconds=None),
            "Waiting for a slot, none of your jobs before it.",
        ),
        (
            QueuePlace(2, is_exact=True, wait_seconds=1),
            "Waiting for a slot, 1 of your jobs before it, for less than a minute more.",
        ),
        (
            QueuePlace(101, is_exact=False, wait_seconds=7200),
            "Waiting for a slot, 100 or more of your jobs before it, for about 120 more minutes.",
        ),
    ],
)
def test_describe_says_where_a_waiting_job_stands(place: QueuePlace | None, sentence: str) -> None:
    assert plan.describe(a_job(waiting_since=NOW), place) == sentence


def test_describe_says_that_a_job_which_rents_waits_for_a_gpu_slot() -> None:
    place = QueuePlace(4, is_exact=True, wait_seconds=None)

    sentence = "Waiting for a GPU slot, 3 of your jobs before it."
    assert plan.describe(a_job(waiting_since=NOW, rents=True), place) == sentence


def test_describe_says_that_a_job_waits_for_credit_until_it_is_to_stop() -> None:
    job = a_claimed_job(step=StepName.RENT, progress={"credit_needed_micro_usd": 33_000})

    assert plan.describe(job) == (
        "Waiting for 0.0330 USD of the provider's credit, which is kept for machines that are rented now."
    )
    assert plan.describe(replace(job, cancel_requested_at=NOW)) == "Stopping, as was asked."
