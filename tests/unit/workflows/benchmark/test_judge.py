import json
from dataclasses import replace

import pytest

from rune.errors import (
    ContextOverflowError,
    ModelNotFoundError,
    RuneError,
    ServerFailedError,
    ServerOverloadedError,
    ServerTimeoutError,
    StoreUnavailableError,
)
from rune.jobs.lifecycle import MAX_ATTEMPTS
from rune.jobs.outcomes import Again, Done, Next, Note, Outcome
from rune.jobs.record import StepName
from rune.llm.protocol import ChatRequest, Generation, OnChunk
from tests.builders import JOB_ID, a_benchmark_request
from tests.fake_model_server import GENERATION, FakeModelServer
from tests.unit.workflows.benchmark.sweeps import Bench, a_sweep, report_of, result_of

JUDGE = {"model": "judge:70b", "rubric": "Names the pods."}
JUDGED = {**a_sweep(), "expected": {"judge": JUDGE}}
JUDGED_ONCE = a_benchmark_request(expected={"judge": JUDGE})


class JudgingServer(FakeModelServer):
    """Gives replies from a list, the last one again and again; other models answer as usual."""

    def __init__(self, *replies: str | RuneError) -> None:
        super().__init__()
        self.replies = list(replies)
        self.judged: list[ChatRequest] = []

    async def chat(self, request: ChatRequest, on_chunk: OnChunk) -> Generation:
        if request.model != JUDGE["model"]:
            return await super().chat(request, on_chunk)
        self.judged.append(request)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if isinstance(reply, RuneError):
            raise reply
        return replace(GENERATION, text=reply)


def a_judging_bench(*replies: str | RuneError, request: dict[str, object] = JUDGED) -> Bench:
    """Return a job whose numbers are there and whose answers wait for the judge."""
    bench = Bench(JudgingServer(*replies))
    while bench.step is not StepName.JUDGE:
        bench.commit(bench.turn(request))
    return bench


def run_judge(bench: Bench, request: dict[str, object] = JUDGED) -> Outcome:
    outcome = bench.run(request)
    assert isinstance(outcome, Done)
    return outcome


def test_measure_hands_its_answers_to_the_judge() -> None:
    bench = a_judging_bench('{"score": 8}')

    (*_, last) = bench.outcomes
    assert isinstance(last, Next)
    assert (last.step, dict(last.phases_ms)) == (StepName.JUDGE, {"measure": 30_000})


def test_judge_reads_some_answers_a_turn_and_each_once() -> None:
    bench = a_judging_bench('{"score": 8}')

    first = bench.turn(JUDGED)
    run_judge(bench)

    assert isinstance(first, Again)
    assert first.progress == {"judged": 20, "answers": 30}
    assert isinstance(bench.server, JudgingServer)
    # The first turn was never committed.
    assert len(bench.server.judged) == 20 + 30


def test_judge_gives_each_point_its_quality() -> None:
    report = report_of(
        run_judge(a_judging_bench(*['{"score": 8}'] * 10, *['{"score": 2}'] * 10, '{"score": 10}'))
    )

    found = [
        (run.quality.score.mean, run.quality.reliability_ratio)
        for run in report.runs
        if run.quality and run.quality.score
    ]
    assert found == [(0.8, 1.0), (0.2, 0.0), (1.0, 1.0)]
    assert not {"judge_failed", "judge_unfinished", "answers_unjudged"} & set(report.warnings)


def test_judge_reads_the_question_the_answer_and_the_rubric() -> None:
    bench = a_judging_bench('{"score": 8}', request=JUDGED_ONCE)

    run_judge(bench, JUDGED_ONCE)

    assert isinstance(bench.server, JudgingServer)
    ((request),) = bench.server.judged
    text = "".join(message.content for message in request.messages)
    assert all(part in text for part in ("Names the pods.", "What is unhealthy", "Two pods crash."))
    assert (request.model, request.temperature, request.context_tokens) == ("judge:70b", 0.0, 8192)


def test_judge_writes_down_what_was_said() -> None:
    bench = a_judging_bench('{"score": 8}', request=JUDGED_ONCE)

    result = result_of(bench.run(JUDGED_ONCE))

    (key,) = result.bookkeeping.record_keys
    assert key == f"results/{JOB_ID}/records/judgements-2.jsonl"
    (line,) = bench.records.files[key].splitlines()
    assert json.loads(line) == {
        "run": 0,
        "number": 0,
        "prompt_index": 0,
        "score": 0.8,
        "reply": '{"score": 8}',
        "error": None,
    }
    assert [each.phase for each in result.telemetry.latency] == ["load", "measure", "judge"]


def test_judge_counts_what_it_cannot_use_as_unjudged() -> None:
    replies: list[str | RuneError] = [
        '{"score": 8}',
        "Well.",
        ContextOverflowError("Too long."),
        '{"score": 8}',
    ]
    report = report_of(run_judge(a_judging_bench(*replies)))

    quality = report.runs[0].quality
    assert quality is not None
    assert (quality.judged_count, quality.unjudged_count) == (8, 2)
    assert "answers_unjudged" in report.warnings


@pytest.mark.parametrize("error", [ServerTimeoutError("Slow."), ServerFailedError("Broken.")], ids=repr)
def test_judge_passes_over_an_answer_that_fails_beside_others(error: RuneError) -> None:
    report = report_of(run_judge(a_judging_bench('{"score": 8}', error, '{"score": 8}')))

    quality = report.runs[0].quality
    assert quality is not None
    assert (quality.judged_count, quality.unjudged_count) == (9, 1)


def test_judge_keeps_no_rented_machine_waiting_for_as_long_as_its_server_likes() -> None:
    bench = a_judging_bench(ServerOverloadedError("Later.", retry_after_seconds=900))

    outcome = bench.turn(JUDGED, rents=True)

    assert isinstance(outcome, Again)
    assert outcome.delay_seconds == 30


def test_judge_waits_as_long_as_its_server_likes_when_the_machine_is_given_back() -> None:
    elsewhere = {
        "vastai": True,
        "expected": {"judge": {**JUDGE, "backend_url": "http://judge.example:11434"}},
    }
    bench = a_judging_bench(ServerOverloadedError("Later.", retry_after_seconds=900))

    outcome = bench.turn({**JUDGED, **elsewhere}, rents=True)

    assert isinstance(outcome, Again)
    assert outcome.delay_seconds == 900


def test_judge_asks_again_for_the_answers_that_its_server_had_no_time_for() -> None:
    full = ServerOverloadedError("Later.")
    bench = a_judging_bench('{"score": 8}', full, full, '{"score": 8}')

    outcome = bench.turn(JUDGED)
    bench.commit(outcome)
    report = report_of(run_judge(bench))

    assert isinstance(outcome, Again)
    assert (outcome.progress["judged"], outcome.delay_seconds) == (2, 5)
    assert [run.quality.judged_count for run in report.runs if run.quality] == [10, 10, 10]
    assert "answers_unjudged" not in report.warnings


def test_judge_tries_again_when_its_server_fails() -> None:
    overloaded = ServerOverloadedError("Later.", retry_after_seconds=30)
    bench = a_judging_bench(*[overloaded] * 4, '{"score": 8}')

    outcome = bench.turn(JUDGED)
    bench.commit(outcome)
    report = report_of(run_judge(bench))

    assert isinstance(outcome, Again)
    assert outcome.delay_seconds == 30
    assert outcome.notes == (Note("benchmark.judge", {"judge": "judge:70b"}, "server_overloaded"),)
    assert [run.quality.judged_count for run in report.runs if run.quality] == [10, 10, 10]


@pytest.mark.parametrize(
    ("error", "turn_count"), [(ServerFailedError("Broken."), 3), (ModelNotFoundError("None."), 1)], ids=repr
)
def test_judge_loses_no_numbers_when_its_server_is_of_no_use(error: RuneError, turn_count: int) -> None:
    bench = a_judging_bench(error)
    turns_before = len(bench.outcomes)

    report = report_of(run_judge(bench))

    assert len(bench.outcomes) - turns_before == turn_count
    assert [(run.completed, run.quality) for run in report.runs] == [(10, None)] * 3
    assert "judge_failed" in report.warnings
    assert report.notes == [f"The judge failed: {error}"]


def test_judge_keeps_the_replies_that_it_has_when_its_server_goes_away() -> None:
    report = report_of(run_judge(a_judging_bench(*['{"score": 8}'] * 12, ServerFailedError("Broken."))))

    judged = [None if run.quality is None else run.quality.judged_count for run in report.runs]
    assert judged == [10, 2, None]
    assert "judge_failed" in report.warnings


@pytest.mark.parametrize(
    ("left_seconds", "overrides", "warning"),
    [
        (19.9, {}, "judge_unfinished"),
        (15.0, {}, "judge_unfinished"),
        (600.0, {"attempts": MAX_ATTEMPTS}, "judge_failed"),
        (600.0, {"failures": 2}, "judge_failed"),
    ],
)
def test_judge_ends_the_job_well_when_there_is_no_time_or_no_other_try(
    left_seconds: float, overrides: dict[str, object], warning: str
) -> None:
    bench = a_judging_bench('{"score": 8}')

    report = report_of(bench.turn(JUDGED, left_seconds, **overrides))

    assert warning in report.warnings
    assert len(report.runs) == 3


@pytest.mark.parametrize(("failures", "is_kept"), [(1, False), (2, True)])
def test_judge_loses_no_numbers_to_a_bucket_that_does_not_take_its_words(
    failures: int, is_kept: bool
) -> None:
    bench = a_judging_bench('{"score": 8}', request=JUDGED_ONCE)
    bench.commit(bench.turn(JUDGED_ONCE))
    bench.records.is_down = True

    if not is_kept:
        with pytest.raises(StoreUnavailableError):
            bench.turn(JUDGED_ONCE, failures=failures)
        return
    result = result_of(bench.turn(JUDGED_ONCE, failures=failures))

    assert result.report is not None
    assert [run.quality.judged_count for run in result.report.runs if run.quality] == [1]
    assert result.bookkeeping.record_keys == ()


def test_judge_may_be_on_another_server() -> None:
    elsewhere = {**JUDGE, "backend_url": "http://127.0.0.1:8000", "backend_type": "openai"}
    request = a_benchmark_request(expected={"judge": elsewhere})
    bench = a_judging_bench('{"score": 8}', request=request)
    bench.server.opened.clear()

    run_judge(bench, request)

    assert bench.server.opened == [("openai", "http://127.0.0.1:8000")]


def test_judge_reads_only_the_beginning_of_a_long_answer() -> None:
    bench = Bench(JudgingServer('{"score": 8}'))
    bench.measure.generation = replace(GENERATION, text="a" * 9000)

    bench.run(JUDGED_ONCE)

    assert isinstance(bench.server, JudgingServer)
    (request,) = bench.server.judged
    assert sum(message.content.count("a" * 100) for message in request.messages) == 80


def test_no_answer_leaves_the_judge_nothing_to_read() -> None:
    bench = Bench(JudgingServer('{"score": 8}'))
    bench.commit(bench.turn(JUDGED))
    bench.measure.failing[1] = ServerOverloadedError("Full.")

    report = report_of(run_judge(bench))

    assert [run.quality.reliability_ratio for run in report.runs if run.quality] == [1.0, 0.0]
