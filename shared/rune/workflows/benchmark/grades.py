"""A report with the scores of its answers. Plain functions over plain data."""

from collections.abc import Sequence

from rune.bench.runs import quality_of
from rune.contracts import BenchmarkReport, Expectation, RunReport
from rune.workflows.benchmark.state import AnswerToJudge


def with_quality(
    report: BenchmarkReport,
    expected: Expectation,
    answers: Sequence[AnswerToJudge],
    warnings: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> BenchmarkReport:
    """Return the report with the scores of its answers in it.

    A run none of whose answers was read has no quality.
    """
    runs = [_judged(run, expected, answers) for run in report.runs]
    unjudged = ["answers_unjudged"] if any(run.quality and run.quality.unjudged_count for run in runs) else []
    named = dict.fromkeys([*report.warnings, *warnings, *unjudged])
    update = {"runs": runs, "warnings": list(named), "notes": [*report.notes, *notes]}
    return report.model_copy(update=update)


def _judged(run: RunReport, expected: Expectation, answers: Sequence[AnswerToJudge]) -> RunReport:
    ends = [answer for answer in answers if answer.run_index == run.index]
    own = [answer for answer in ends if answer.is_judged]
    if ends and not own:
        return run
    scores = [answer.score for answer in own if answer.score is not None]
    quality = quality_of(expected, scores, failed_count=run.failed, unjudged_count=len(ends) - len(scores))
    return run.model_copy(update={"quality": quality})
