"""What a measurement knows between its turns: plain data, kept as JSON."""

import json
from collections.abc import Sequence
from datetime import datetime

from rune.bench.headline import output_rate
from rune.bench.load_runner import MAX_CHUNKS
from rune.bench.measurements import measurements_of
from rune.bench.records import MeasuredPoint, Point, RequestRecord
from rune.bench.tasks import Task
from rune.contracts import Document, Measurements, RunReport, StoredBenchmarkResult, Workload
from rune.contracts.workloads import MAX_JUDGED_BY_MODEL
from rune.llm.dialects import STANDARD, Dialect
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
    error: str | None = None
    """Why there is no reply to an answer that counts as judged."""


class OpenPoint(Document):
    """A point of which some runs (blocks) are measured, and which is not reported yet."""

    index: int
    concurrency: int
    request_rate_per_s: float | None
    keys: tuple[str, ...] = ()
    """Names of the files with the blocks' measurements (`rune.bench.block_files`)."""
    runs: tuple[RunReport, ...] = ()
    """Each block by itself, as if it were the whole point."""
    left: tuple[int, ...] = ()
    """Which prompts are left to be asked, in order."""
    next_number: int = 0
    chunk_count: int = 0
    """Of all blocks."""
    is_complete: bool = False
    """Whether no other block follows."""

    @property
    def point(self) -> Point:
        """Where it is on the workload."""
        return Point(self.index, self.concurrency, self.request_rate_per_s)

    @property
    def longest_answer_seconds(self) -> float:
        """Of the answers so far; 0 where there is none."""
        return max((run.e2el_ms.max for run in self.runs if run.e2el_ms is not None), default=0.0) / 1000

    @property
    def fullest(self) -> RunReport:
        """The block with the most answers, the first of equals."""
        return max(self.runs, key=lambda run: run.completed)

    def with_block(
        self, workload: Workload, task: Task, run: RunReport, measured: MeasuredPoint, key: str
    ) -> "OpenPoint":
        """Return the point after another block; `key` names the file with its measurement.

        It is complete when nothing is left to be asked, or all of its blocks are used, when the server has answered
        half of the block's requests or fewer, and when another block could bring more chunks than memory holds.
        """
        runs, left = (*self.runs, run), left_after(task, measured)
        chunk_count = count_chunks(measured)
        whole_count = self.chunk_count + chunk_count
        return self.model_copy(
            update={
                "keys": (*self.keys, key),
                "runs": runs,
                "left": left,
                "next_number": max((record.number for record in measured.records), default=-1) + 1,
                "chunk_count": whole_count,
                "is_complete": not left
                or len(runs) >= workload.max_blocks
                or not run.completed
                or 2 * run.failed > run.num_prompts
                or whole_count + chunk_count > MAX_CHUNKS,
            }
        )


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
    dialect: Dialect = STANDARD
    """What the server takes, as learnt so far."""
    warnings: tuple[str, ...] = ()
    """About the whole, known from the beginning."""
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
    open_point: OpenPoint | None = None
    """The point that is being measured in several runs."""

    @property
    def has_answers(self) -> bool:
        """Whether anything is measured that can be reported."""
        return bool(self.runs) or self.open_point is not None

    def with_measured(
        self,
        workload: Workload,
        run: RunReport,
        measured: MeasuredPoint,
        key: str | None,
        took_ms: int,
        *,
        keeps_answers: bool,
    ) -> "MeasuringState":
        """Return the state after another run of a point, with all of it but its report.

        Parameters
        ----------
        run
            Its report by itself.
        key
            Names the file with its requests, if there is one.
        """
        completed = completed_of(measured)
        generations = [generation for _, generation in completed]
        return self.model_copy(
            update={
                "record_keys": self.record_keys if key is None else (*self.record_keys, key),
                "representative": _better(self.representative, workload, run, generations),
                "tokens": self.tokens.plus(generations),
                "warmup_output_tokens": self.warmup_output_tokens + measured.warmup_output_tokens,
                "measured_ms": self.measured_ms + took_ms,
                "answers": _grown(self.answers, run, completed) if keeps_answers else (),
            }
        )

    def with_run(self, run: RunReport) -> "MeasuringState":
        """Return the state after another point, whose requests are in it already."""
        return self.model_copy(update={"runs": (*self.runs, run), "open_point": None})


class JudgingState(Document):
    """A benchmark whose numbers are there, and whose answers are being judged."""

    draft: StoredBenchmarkResult
    answers: tuple[AnswerToJudge, ...]
    context_tokens: int
    """Context to load the judge with."""
    tokens_per_word: float | None
    dialect: Dialect = STANDARD
    """What the judge's server takes, as learnt so far."""
    judged_ms: int = 0
    failed_tries: int = 0
    """Of the judge's server, one after another."""
    error: str | None = None
    """What was wrong at the last of them."""


def completed_of(measured: MeasuredPoint) -> list[tuple[RequestRecord, Generation]]:
    """Return the completed requests with their answers, by number."""
    return [(each, each.generation) for each in measured.records if each.generation is not None]


def left_after(task: Task, measured: MeasuredPoint) -> tuple[int, ...]:
    """Return which prompts are left to be asked, in order: those that were not sent, or were cut off.

    A conversation that was cut off at any of its turns is asked anew.
    """
    places = task.places()
    ended = {
        places[record.number - task.first_number].time
        for record in measured.records
        if record.status == "failed" or (record.status == "completed" and not record.turns_left)
    }
    return tuple(prompt_index for time, prompt_index in enumerate(task.order()) if time not in ended)


def count_chunks(measured: MeasuredPoint) -> int:
    """Return how many chunks a measurement holds in memory."""
    answers = (len(each.generation.chunk_arrivals_ns) for each in measured.records if each.generation)
    return sum(answers) + sum(len(each.partial_arrivals_ns) for each in measured.records)


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
                "error": answer.error,
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
    # A conversation is judged by its end.
    ends = ((record, generation) for record, generation in completed if not record.turns_left)
    new = (answer_of(run.index, record, generation) for record, generation in ends)
    return (*answers, *new)[:MAX_JUDGED_BY_MODEL]
