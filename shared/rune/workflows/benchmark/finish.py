"""From numbers to the end of a benchmark, or to the judge of its answers."""

from collections.abc import Mapping, Sequence

from rune.bench.judging import judge_messages
from rune.contracts import BenchmarkRequest, StoredBenchmarkResult
from rune.jobs.outcomes import Done, Next, Outcome
from rune.jobs.step import StepContext
from rune.llm.dialects import STANDARD, Dialect
from rune.workflows.benchmark.context_size import JUDGE_REPLY_TOKENS, context_for, judges_on_own_server
from rune.workflows.benchmark.grades import with_quality
from rune.workflows.benchmark.state import AnswerToJudge, JudgingState
from rune.workflows.graph import Fact, step_after


def conclude(
    context: StepContext,
    request: BenchmarkRequest,
    result: StoredBenchmarkResult,
    *,
    answers: Sequence[AnswerToJudge],
    prompts: Sequence[str],
    tokens_per_word: float | None,
    phases_ms: Mapping[str, int],
    dialect: Dialect = STANDARD,
) -> Outcome:
    """Return the end of a benchmark whose numbers are there, unless a model is to judge its answers.

    Parameters
    ----------
    dialect
        Of the server that was measured, which may judge too.
    """
    expected = request.expected
    if expected is None or expected.judge is None or result.report is None:
        return Done(result.model_dump_json(), phases_ms)
    if not answers:
        report = with_quality(result.report, expected, ())
        return Done(result.model_copy(update={"report": report}).model_dump_json(), phases_ms)
    chats = [judge_messages(expected.judge, prompts[each.prompt_index], each.text) for each in answers]
    # The same for all answers: another context would make Ollama load the judge anew.
    texts = ["".join(message.content for message in chat) for chat in chats]
    state = JudgingState(
        draft=result,
        answers=tuple(answers),
        context_tokens=context_for(texts, JUDGE_REPLY_TOKENS),
        tokens_per_word=tokens_per_word,
        dialect=dialect if judges_on_own_server(request) else STANDARD,
    )
    return Next(
        step_after(context, Fact.ANSWERS_TO_JUDGE), phases_ms=phases_ms, state_json=state.model_dump_json()
    )
