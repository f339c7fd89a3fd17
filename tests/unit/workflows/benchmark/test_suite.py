"""The step that runs a suite's cases: each turn is committed, and no run is lost or counted twice."""

import json
from dataclasses import replace

import pytest

from rune.contracts.diagnoses import CaseReport
from rune.errors import (
    CostCapReachedError,
    InvalidRequestError,
    ModelUnsupportedError,
    RequestRejectedError,
    RuneError,
    ServerFailedError,
    ServerTimeoutError,
    StoreUnavailableError,
)
from rune.jobs.lifecycle import MAX_ATTEMPTS
from rune.jobs.outcomes import Again, Done, Failed
from rune.jobs.transitions import MAX_FAILURES
from rune.llm.protocol import Capabilities
from rune.workflows.benchmark.suite import MOST_ERRORS_IN_A_ROW, WORKER_LOST
from tests.unit.workflows.benchmark.investigators import (
    VERSION,
    ScriptedInvestigator,
    Trial,
    a_suite_request,
    diagnosis_of,
)
from tests.unit.workflows.benchmark.sweeps import key_of, report_of, result_of

REQUEST = a_suite_request()
ONCE = a_suite_request(runs=1)


def a_trial(way: str = "good") -> Trial:
    return Trial(server=ScriptedInvestigator(way=way))


def without_times(case: CaseReport) -> CaseReport:
    """Return the case without how long its tools really took."""
    return case.model_copy(update={"effort": case.effort.model_copy(update={"duration_s": 0.0})})


@pytest.mark.parametrize(
    ("way", "outcomes", "pass_at_1", "bounds"),
    [
        ("good", {"correct": 2}, 1.0, {None}),
        ("guesser", {"wrong": 2}, 0.0, {None}),
        ("silent", {"no_answer": 2}, 0.0, {"no_report"}),
        ("looper", {"no_answer": 2}, 0.0, {"repeated_calls"}),
    ],
)
def test_suite_tells_investigators_apart(
    way: str, outcomes: dict[str, int], pass_at_1: float, bounds: set[str | None]
) -> None:
    trial = a_trial(way)

    diagnosis = diagnosis_of(trial.run(ONCE))

    runs = [json.loads(line) for line in next(iter(trial.records.files.values())).splitlines()]
    assert (diagnosis.outcomes, diagnosis.pass_at_1.value) == (outcomes, pass_at_1)
    assert [run["case_id"] for run in runs] == ["crash", "well"]
    assert {run["bound"] for run in runs} == bounds


def test_report_says_what_was_run_and_how() -> None:
    trial = a_trial()

    outcome = trial.run(REQUEST)

    report, result = report_of(outcome), result_of(outcome)
    diagnosis = diagnosis_of(outcome)
    suite = diagnosis.suite
    assert (report.runs, report.best_run, report.ended_by) == ([], None, "all_measured")
    assert (suite.name, suite.version, suite.is_whole, suite.runs_per_case) == ("mine", VERSION, True, 2)
    assert (report.sampling.temperature, report.sampling.context_tokens) == (0.0, 32_768)
    assert {(chat.temperature, chat.context_tokens) for chat in trial.server.chats} == {(0.0, 32_768)}
    assert (report.dataset.name, report.dataset.prompt_count) == ("mine", 2)
    assert result.answer.startswith("4 of 4 runs of 2 cases were correct: pass@1 1.00 (")
    assert result.measurements is None
    assert result.bookkeeping.record_keys == (key_of(0, 9),)
    # Two turns of each of four runs, each of 12 tokens in and 21 out.
    assert result.telemetry.tokens.total == 8 * 33
    assert (diagnosis.effort.turns, diagnosis.effort.calls) == (2.0, 1.0)


def test_worker_lost_at_any_turn_costs_that_turn_alone() -> None:
    whole = a_trial()
    calm = whole.run(REQUEST)

    stormy = a_trial()
    for epoch in range(1, 60, 2):
        stormy.turn(REQUEST, epoch=epoch)  # a worker that is lost before its commit
        outcome = stormy.turn(REQUEST, epoch=epoch + 1, attempts=2)
        stormy.commit(outcome)
        if stormy.is_done:
            break

    lost, kept = diagnosis_of(outcome), diagnosis_of(calm)
    assert lost.cases[0].effort.turns == 2
    assert [without_times(each) for each in lost.cases] == [without_times(each) for each in kept.cases]
    assert len(stormy.server.chats) == 2 * len(whole.server.chats)


def test_every_run_is_told_once_as_an_event() -> None:
    trial = a_trial()

    trial.run(REQUEST)

    notes = [note for each in trial.outcomes if isinstance(each, Again) for note in each.notes]
    assert [(note.name, note.labels["case"], note.labels["run"]) for note in notes] == [
        ("benchmark.case", "crash", "0"),
        ("benchmark.case", "well", "0"),
        ("benchmark.case", "crash", "1"),
        ("benchmark.case", "well", "1"),
    ]
    last = trial.outcomes[-2]
    assert isinstance(last, Again)
    assert last.progress == {"runs": 4, "runs_total": 4}
    # What the lease shows while the next turn is taken.
    assert trial.progress == {"runs": 4, "runs_total": 4}


def test_runs_of_a_case_have_other_names() -> None:
    trial = a_trial()

    trial.run(a_suite_request(cases=["crash"]))

    overviews = {
        message.content.partition("\n")[2].partition("\n")[2]
        for chat in trial.server.chats
        for message in chat.messages
        if message.tool_call_id
    }
    assert len(overviews) == 2


def test_turn_that_ends_each_worker_is_given_up_with_its_run() -> None:
    trial = a_trial()
    trial.commit(trial.turn(ONCE))

    trial.commit(trial.turn(ONCE, epoch=2, attempts=MAX_ATTEMPTS))
    report = report_of(trial.run(ONCE, first_epoch=3))

    assert report.diagnosis is not None
    assert report.diagnosis.outcomes == {"no_answer": 1, "correct": 1}
    assert report.warnings == ["runs_given_up"]
    record = json.loads(next(iter(trial.records.files.values())).splitlines()[0])
    assert (record["error_code"], record["turns"]) == (WORKER_LOST, 1)


def test_failing_server_is_tried_again_from_the_same_state() -> None:
    trial = a_trial()
    trial.commit(trial.turn(ONCE))
    before = trial.state_json

    trial.server.error = ServerFailedError("It has failed.")
    outcome = trial.turn(ONCE, epoch=2)
    trial.server.error = None

    assert outcome == Failed("server_failed", "It has failed.", retryable=True)
    assert trial.state_json == before
    assert diagnosis_of(trial.run(ONCE, first_epoch=3)).outcomes == {"correct": 2}


@pytest.mark.parametrize(
    ("error", "failures"),
    [(RequestRejectedError("No."), 0), (ServerFailedError("It has failed."), MAX_FAILURES - 1)],
)
def test_run_whose_server_goes_on_failing_has_no_answer(error: RuneError, failures: int) -> None:
    trial = a_trial()
    trial.commit(trial.turn(ONCE))

    trial.server.error = error
    trial.commit(trial.turn(ONCE, epoch=2, failures=failures))
    trial.server.error = None

    assert diagnosis_of(trial.run(ONCE, first_epoch=3)).outcomes == {"no_answer": 1, "correct": 1}


def test_server_that_fails_in_run_after_run_ends_the_job_with_what_there_is() -> None:
    trial, request = a_trial(), a_suite_request(runs=5)
    for epoch in (1, 2):
        trial.commit(trial.turn(request, epoch=epoch))

    trial.server.error = RequestRejectedError("No.")
    report = report_of(trial.run(request, first_epoch=3))

    assert report.ended_by == "errors"
    assert report.diagnosis is not None
    assert report.diagnosis.outcomes == {"correct": 1, "no_answer": MOST_ERRORS_IN_A_ROW}
    assert report.diagnosis.planned_run_count == 10


def test_server_that_fails_at_once_fails_the_job() -> None:
    trial = a_trial()
    trial.server.error = RequestRejectedError("No.")

    with pytest.raises(RequestRejectedError):
        trial.turn(ONCE)


def test_model_without_tools_is_refused_before_it_is_asked() -> None:
    trial = a_trial()
    trial.server.capable = replace(Capabilities(chats=True), calls_tools=False)

    with pytest.raises(ModelUnsupportedError, match="cannot call tools"):
        trial.turn(ONCE)
    assert trial.server.chats == []


def test_time_that_is_over_leaves_the_runs_that_are_done() -> None:
    trial = a_trial()
    for epoch in (1, 2, 3):
        trial.commit(trial.turn(REQUEST, epoch=epoch))

    report = report_of(trial.turn(REQUEST, left_seconds=30.0, epoch=4))

    assert (report.ended_by, report.diagnosis and report.diagnosis.run_count) == ("time_over", 1)
    # The run that was cut off took two turns, and they are in the tokens.
    assert result_of(trial.turn(REQUEST, left_seconds=30.0, epoch=4)).telemetry.tokens.total == 3 * 33


def test_answer_that_the_end_of_the_job_cuts_off_is_no_fault_of_the_server() -> None:
    trial = a_trial()
    for epoch in (1, 2):
        trial.commit(trial.turn(REQUEST, epoch=epoch))

    trial.server.error = ServerTimeoutError("It was silent.")
    report = report_of(trial.turn(REQUEST, left_seconds=100.0, epoch=3))

    assert (report.ended_by, report.diagnosis and report.diagnosis.outcomes) == ("time_over", {"correct": 1})


def test_time_that_is_over_before_the_first_run_fails_the_job() -> None:
    trial = a_trial()
    trial.commit(trial.turn(REQUEST))

    outcome = trial.turn(REQUEST, left_seconds=30.0, epoch=2)

    assert isinstance(outcome, Failed)
    assert not outcome.retryable


def test_money_that_is_over_ends_the_job_and_counts_no_cut_off_run() -> None:
    trial = a_trial()
    for epoch in (1, 2, 3):
        trial.commit(trial.turn(REQUEST, epoch=epoch))

    trial.server.error = CostCapReachedError()
    report = report_of(trial.run(REQUEST, first_epoch=4))

    assert (report.ended_by, report.warnings) == ("cost_cap", ["cost_cap_reached"])
    assert report.diagnosis is not None
    assert report.diagnosis.outcomes == {"correct": 1}


def test_money_that_is_over_before_the_first_run_fails_the_job() -> None:
    trial = a_trial()
    trial.commit(trial.turn(REQUEST))
    trial.server.error = CostCapReachedError()
    trial.commit(trial.turn(REQUEST, epoch=2))

    with pytest.raises(CostCapReachedError):
        trial.turn(REQUEST, epoch=3)


def test_version_that_is_gone_is_told() -> None:
    trial = a_trial()
    trial.suites = {}

    with pytest.raises(InvalidRequestError, match="is not there any more"):
        trial.turn(REQUEST)


def test_result_is_not_there_without_its_file_of_runs() -> None:
    trial = a_trial()
    trial.run(ONCE, turns=4)

    trial.records.is_down = True
    with pytest.raises(StoreUnavailableError):
        trial.turn(ONCE, epoch=9)
    trial.records.is_down = False

    assert isinstance(trial.turn(ONCE, epoch=10), Done)
