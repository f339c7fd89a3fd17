"""The step `judge`: another model reads the answers, some of them each turn.

The measurement is complete by then, and has cost more than the judge. The job succeeds also where the judge fails.
"""

from collections.abc import Sequence

from rune.bench.costs import add_token_cost
from rune.bench.judging import judge_messages, parse_score
from rune.bench.prompts import make_prompts
from rune.bench.token_bounds import most_tokens
from rune.bench.turns import as_text
from rune.contracts import BenchmarkRequest, Expectation, JudgeModel, PhaseLatency, read_stored
from rune.errors import (
    AddressError,
    AddressRefusedError,
    ContextOverflowError,
    CostCapReachedError,
    InvalidRequestError,
    ModelNotFoundError,
    ModelServerError,
    ModelUnsupportedError,
    OutOfMemoryError,
    RequestRejectedError,
    ServerAccessError,
    ServerOverloadedError,
    StoreUnavailableError,
)
from rune.jobs.lifecycle import MAX_ATTEMPTS
from rune.jobs.outcomes import Again, Done, Failed, Note, Outcome
from rune.jobs.record import Job
from rune.jobs.step import StepContext
from rune.jobs.transitions import MAX_FAILURES, RETRY_DELAYS_SECONDS
from rune.llm.protocol import ChatRequest, ModelServer
from rune.workflows.benchmark.context_size import JUDGE_REPLY_TOKENS, judges_on_own_server
from rune.workflows.benchmark.dependencies import BenchmarkDependencies
from rune.workflows.benchmark.grades import with_quality
from rune.workflows.benchmark.state import AnswerToJudge, JudgingState, judgement_lines
from rune.workflows.graph import Trait, traits_of
from rune.workflows.model_servers import Backend, Backends
from rune.workflows.token_meter import MeteredServer, tokens_usd

SLICE_ANSWERS = 20
SLICE_SECONDS = 60.0
"""A turn ends after so many answers or so long, so that little is judged twice when a worker is lost."""

JUDGED_AT_ONCE = 4

JUDGE_REPLY_SECONDS = 120.0
"""Longest time for one reply; the first may wait until the judge's model is loaded."""

RESERVE_SECONDS = 10.0
"""Kept of a turn's time for the commit."""

LEAST_SECONDS = 10.0
"""With less than this no answer is given to the judge."""

LONGEST_RENTED_DELAY_SECONDS = 30
"""Between two tries where a rented machine waits: it bills and does nothing."""

_KEPT_REPLY_CHARS = 1000
_MOST_NOTED = 5

# Another try has the same end.
_LASTING = (
    AddressRefusedError,
    InvalidRequestError,
    ModelNotFoundError,
    ModelUnsupportedError,
    OutOfMemoryError,
    ServerAccessError,
)
# The cause lies in the one answer. Others can be judged.
_ANSWERS_FAULT = (ContextOverflowError, RequestRejectedError)

# The answer was not read, and can be by another try.
_NOT_ASKED = (ServerOverloadedError, CostCapReachedError, InvalidRequestError)

type JudgeError = ModelServerError | AddressError | InvalidRequestError | CostCapReachedError


class JudgeStep:
    """The step `judge`."""

    def __init__(self, backends: Backends, dependencies: BenchmarkDependencies) -> None:
        self._backends = backends
        self._dependencies = dependencies

    async def judge(self, context: StepContext) -> Outcome:
        """Judge the next answers, or make the result with the scores so far."""
        request = read_stored(BenchmarkRequest, context.request_json)
        expected = request.expected
        if context.state_json is None or expected is None or expected.judge is None:
            return Failed("internal_error", "There are no answers to judge.", retryable=False)
        state = read_stored(JudgingState, context.state_json)
        warnings = _reasons_to_end(context, state)
        if warnings is not None:
            return self._finish(context, expected, state, *warnings)
        state, error = await self._judge_some(context, request, expected.judge, state)
        if context.tokens is not None and context.tokens.was_refused:
            return self._finish(context, expected, state, "cost_cap_reached")
        if error is None:
            return _again(state, 0)
        if isinstance(error, _LASTING) or state.failed_tries >= MAX_FAILURES:
            return self._finish(context, expected, state, "judge_failed")
        note = Note("benchmark.judge", {"judge": expected.judge.model}, error.code)
        delay_seconds = _delay_seconds(error, state.failed_tries)
        if context.job.rents and Trait.JUDGED_ELSEWHERE not in traits_of(context.job.kind, request):
            delay_seconds = min(delay_seconds, LONGEST_RENTED_DELAY_SECONDS)
        return _again(state, delay_seconds, note)

    async def _judge_some(
        self, context: StepContext, request: BenchmarkRequest, judge: JudgeModel, state: JudgingState
    ) -> tuple[JudgingState, JudgeError | None]:
        """Return the state after as many answers as a turn judges, and what stopped it."""
        clock = self._dependencies.clock
        made = make_prompts(request.question, request.measured, tokens_per_word=state.tokens_per_word)
        prompts = [as_text(prompt) for prompt in made]
        began_seconds = clock.monotonic_seconds()
        answers, error, count, dialect = list(state.answers), None, 0, state.dialect
        try:
            backend = self._find(context, request, judge)
            async with self._backends.using(backend, context, state.dialect) as server:
                if isinstance(server, MeteredServer):
                    self._announce(server, judge, answers, state, prompts)
                while (
                    error is None and count < SLICE_ANSWERS and (batch := _pending(answers)[:JUDGED_AT_ONCE])
                ):
                    took_seconds = clock.monotonic_seconds() - began_seconds
                    left_seconds = context.time_limit_seconds - RESERVE_SECONDS - took_seconds
                    if took_seconds >= SLICE_SECONDS or left_seconds < LEAST_SECONDS:
                        break
                    chats = [
                        _chat(judge, prompts[answers[at].prompt_index], answers[at].text, state, left_seconds)
                        for at in batch
                    ]
                    replies = await self._dependencies.gather([_ask(server, chat) for chat in chats])
                    error = _add_replies(answers, batch, replies)
                    dialect = server.dialect
                    count += len(batch)
                    context.progress.update(
                        judged=len(answers) - len(_pending(answers)), answers=len(answers)
                    )
        except (ModelServerError, AddressError, InvalidRequestError) as raised:
            error = raised
        is_further = len(_pending(answers)) < len(_pending(state.answers))
        took_ms = round((clock.monotonic_seconds() - began_seconds) * 1000)
        judged = state.model_copy(
            update={
                "answers": tuple(answers),
                "dialect": dialect,
                "error": state.error if error is None else error.sentence,
                "judged_ms": state.judged_ms + took_ms,
                "failed_tries": (0 if is_further else state.failed_tries) + (error is not None),
            }
        )
        return judged, error

    def _announce(
        self,
        server: MeteredServer,
        judge: JudgeModel,
        answers: Sequence[AnswerToJudge],
        state: JudgingState,
        prompts: Sequence[str],
    ) -> None:
        """Announce the replies of one turn at once."""
        batch = [answers[at] for at in _pending(answers)[:SLICE_ANSWERS]]
        chats = [_chat(judge, prompts[each.prompt_index], each.text, state, 0.0) for each in batch]
        longest = max(
            (sum(most_tokens(message.content) for message in chat.messages) for chat in chats), default=0
        )
        server.announce(judge.model, len(batch), longest, JUDGE_REPLY_TOKENS)

    def _find(self, context: StepContext, request: BenchmarkRequest, judge: JudgeModel) -> Backend:
        if judges_on_own_server(request):
            return self._backends.find(context.job, request)
        return self._backends.find_named(context.job, judge, judge.model)

    def _finish(
        self, context: StepContext, expected: Expectation, state: JudgingState, *warnings: str
    ) -> Outcome:
        draft, bookkeeping = state.draft, state.draft.bookkeeping
        key = self._write_down(context, state)
        if key is not None:
            keys = (*bookkeeping.record_keys, key)
            bookkeeping = bookkeeping.model_copy(update={"record_keys": keys})
        latency = [*draft.telemetry.latency, PhaseLatency(phase="judge", ms=state.judged_ms)]
        cost_usd = tokens_usd(context)
        priced = {} if cost_usd is None else {"cost_estimate_usd": cost_usd}
        report = draft.report and with_quality(draft.report, expected, state.answers, warnings, _notes(state))
        if report is not None and cost_usd:
            report = add_token_cost(
                report, None, tokens_usd=cost_usd, warmup_output_tokens=bookkeeping.warmup_output_tokens
            )
        result = draft.model_copy(
            update={
                "bookkeeping": bookkeeping,
                "telemetry": draft.telemetry.model_copy(update={"latency": latency, **priced}),
                "report": report,
            }
        )
        return Done(result.model_dump_json(), {"judge": state.judged_ms})

    def _write_down(self, context: StepContext, state: JudgingState) -> str | None:
        """Return the name of the file with the judge's replies; None where there is none."""
        if not any(answer.is_judged for answer in state.answers):
            return None
        key = f"results/{context.job.job_id}/records/judgements-{context.job.epoch}.jsonl"
        try:
            self._dependencies.records.put(key, judgement_lines(state.answers))
        except StoreUnavailableError:
            if not _is_last_try(context.job):
                raise
            # The measurement is worth more than the judge's replies.
            return None
        return key


def _notes(state: JudgingState) -> list[str]:
    """Return what is to be said of the judge: how its server was asked, and why answers are not judged."""
    notes = [f"Judge: {note}" for note in state.dialect.notes()]
    if _pending(state.answers) and state.error is not None:
        notes.append(f"The judge failed: {state.error}")
    # Each kind of refusal once.
    refusals = dict.fromkeys(answer.error for answer in state.answers if answer.error is not None)
    return notes + [
        f"The judge did not read an answer: {refusal}" for refusal in list(refusals)[:_MOST_NOTED]
    ]


def _reasons_to_end(context: StepContext, state: JudgingState) -> list[str] | None:
    """Return the warnings of an end without another reply; None where there are answers to judge."""
    if not _pending(state.answers):
        return []
    if context.time_limit_seconds < RESERVE_SECONDS + LEAST_SECONDS:
        return ["judge_unfinished"]
    return ["judge_failed"] if _is_last_try(context.job) else None


def _is_last_try(job: Job) -> bool:
    return job.attempts >= MAX_ATTEMPTS or job.failures + 1 >= MAX_FAILURES


def _pending(answers: Sequence[AnswerToJudge]) -> list[int]:
    return [at for at, answer in enumerate(answers) if not answer.is_judged]


def _chat(
    judge: JudgeModel, question: str, answer: str, state: JudgingState, left_seconds: float
) -> ChatRequest:
    return ChatRequest(
        model=judge.model,
        messages=judge_messages(judge, question, answer),
        timeout_seconds=min(JUDGE_REPLY_SECONDS, left_seconds),
        idle_timeout_seconds=min(JUDGE_REPLY_SECONDS, left_seconds),
        context_tokens=state.context_tokens,
        max_output_tokens=JUDGE_REPLY_TOKENS,
        temperature=0.0,
        is_free=True,
    )


async def _ask(server: ModelServer, chat: ChatRequest) -> str | JudgeError:
    try:
        generation = await server.chat(chat, _ignore)
    except (ModelServerError, AddressError, InvalidRequestError, CostCapReachedError) as error:
        return error
    return generation.text


def _ignore(_chunk_count: int) -> None:
    """Do nothing: a reply is read when it is complete."""


def _add_replies(
    answers: list[AnswerToJudge], batch: Sequence[int], replies: Sequence[str | JudgeError]
) -> JudgeError | None:
    """Add the replies to their answers; return the error that stops the judge, if there is one.

    Where the judge replied to others of the batch, an answer without a reply counts as unjudged, unless the judge
    was overloaded.
    """
    works = any(isinstance(reply, str) for reply in replies)
    error: JudgeError | None = None
    for at, reply in zip(batch, replies, strict=True):
        if isinstance(reply, str):
            said = {"score": parse_score(reply), "reply": reply[:_KEPT_REPLY_CHARS]}
        elif isinstance(reply, _ANSWERS_FAULT) or (works and not isinstance(reply, _NOT_ASKED)):
            said = {"score": None, "reply": None, "error": str(reply)}
        else:
            error = reply
            continue
        answers[at] = answers[at].model_copy(update={"text": "", "is_judged": True, **said})
    return error


def _again(state: JudgingState, delay_seconds: int, *notes: Note) -> Again:
    progress = {
        "judged": len(state.answers) - len(_pending(state.answers)),
        "answers": len(state.answers),
    }
    return Again(delay_seconds, progress, state_json=state.model_dump_json(), notes=notes)


def _delay_seconds(error: JudgeError, failed_tries: int) -> int:
    asked = error.retry_after_seconds if isinstance(error, ServerOverloadedError) else None
    return asked or RETRY_DELAYS_SECONDS[min(failed_tries, len(RETRY_DELAYS_SECONDS)) - 1]
