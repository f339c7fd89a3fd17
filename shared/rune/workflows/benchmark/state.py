"""What a measurement knows between its turns: plain data, kept as JSON."""

import json
from collections.abc import Sequence
from datetime import datetime

from rune.bench.headline import output_rate
from rune.bench.measurements import measurements_of
from rune.bench.records import MeasuredPoint, RequestRecord
from rune.contracts import Document, Measurements, RunReport, StoredBenchmarkResult, Workload
from rune.contracts.workloads import MAX_JUDGED_BY_MODEL
from rune.llm.protocol import Generation
from rune.workflows.benchmark.result import TokenSums
from rune.workflows.benchmark.server_snapshot import ServerSnapshot

LONGEST_JUDGED_BYTES = 8000
"""Of an answer that a judge model reads, in UTF-8: 2000 to 8000 tokens. A longer one is judged by its beginning."""


class RepresentativeAnswer(Document):
    """One answer that stands for all: the first that was completed at the best point so far."""

    answer: str
    measurements: Measurements
    throughput_tokens_per_s: float


class AnswerToJudge(Document):
    """An answer that a judge model reads."""

    run_index: int
    number: int
    prompt_index: int
    text: str
    """Empty once it has been judged: the state is written often."""
    is_judged: bool = False
    score: float | None = None
    """None where the reply has no usable score."""
    reply: str | None = None
    """The judge's reply, or the beginning of it."""


class MeasuringState(Document):
    """A measurement after some of its points.

    Turns that follow ask the same prompts in the same way, so what was found out at the beginning stays.
    """

    rental_id: str | None
    """The machine it runs on; points of two machines are no measurement."""
    backend_url: str
    started_at: datetime
    tokens_per_word: float | None
    """Of the model, for `synthetic` prompts."""
    ignores_eos: bool
    before: ServerSnapshot
    """What the server said before the first point."""
    runs: tuple[RunReport, ...] = ()
    record_keys: tuple[str, ...] = ()
    """Names of the files with the points' requests."""
    representative: RepresentativeAnswer | None = None
    tokens: TokenSums = TokenSums()
    warmup_output_tokens: int = 0
    measured_ms: int = 0
    """Time of all points with their warm-ups."""
    answers: tuple[AnswerToJudge, ...] = ()
    is_out_of_money: bool = False
    """Whether the job's cap refused a request of the last point."""

    def with_point(
        self,
        workload: Workload,
        run: RunReport,
        measured: MeasuredPoint,
        key: str | None,
        took_ms: int,
        *,
        keeps_answers: bool,
    ) -> "MeasuringState":
        """Return the state after another point; `key` names the file with its requests, if there is one."""
        completed = completed_of(measured)
        generations = [generation for _, generation in completed]
        return self.model_copy(
            update={
                "runs": (*self.runs, run),
                "record_keys": self.record_keys if key is None else (*self.record_keys, key),
                "representative": _better(self.representative, workload, run, generations),
                "tokens": self.tokens.plus(generations),
                "warmup_output_tokens": self.warmup_output_tokens + measured.warmup_output_tokens,
                "measured_ms": self.measured_ms + took_ms,
                "answers": _grown(self.answers, run, completed) if keeps_answers else (),
            }
        )


class JudgingState(Document):
    """A benchmark whose numbers are there, and whose answers are being judged."""

    draft: StoredBenchmarkResult
    answers: tuple[AnswerToJudge, ...]
    context_tokens: int
    """Context to load the judge with."""
    tokens_per_word: float | None
    judged_ms: int = 0
    failed_tries: int = 0
    """Of the judge's server, one after another."""


def completed_of(measured: MeasuredPoint) -> list[tuple[RequestRecord, Generation]]:
    """Return the completed requests with their answers, by number."""
    return [(each, each.generation) for each in measured.records if each.generation is not None]


def answer_of(run_index: int, record: RequestRecord, generation: Generation) -> AnswerToJudge:
    """Return an answer as a judge reads it."""
    text = generation.text.encode()[:LONGEST_JUDGED_BYTES].decode(errors="ignore")
    return AnswerToJudge(
        run_index=run_index, number=record.number, prompt_index=record.prompt_index, text=text
    )


def judgement_lines(answers: Sequence[AnswerToJudge]) -> str:
    """Return the judge's replies, one JSON line for each answer."""
    lines = (
        json.dumps(
            {
                "run": answer.run_index,
                "number": answer.number,
                "prompt_index": answer.prompt_index,
                "score": answer.score,
                "reply": answer.reply,
            }
        )
        for answer in answers
        if answer.is_judged
    )
    return "".join(f"{line}\n" for line in lines)


def _better(
    best: RepresentativeAnswer | None, workload: Workload, run: RunReport, generations: Sequence[Generation]
) -> RepresentativeAnswer | None:
    throughput = output_rate(run) or 0.0
    if not generations or (best is not None and throughput <= best.throughput_tokens_per_s):
        return best
    return RepresentativeAnswer(
        answer=generations[0].text,
        measurements=measurements_of(generations[0], workload),
        throughput_tokens_per_s=throughput,
    )


def _grown(
    answers: tuple[AnswerToJudge, ...], run: RunReport, completed: Sequence[tuple[RequestRecord, Generation]]
) -> tuple[AnswerToJudge, ...]:
    new = (answer_of(run.index, record, generation) for record, generation in completed)
    return (*answers, *new)[:MAX_JUDGED_BY_MODEL]
