"""How a benchmark puts a model to work, and how its answers are judged."""

import json
from functools import cache
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Discriminator, Field, Tag, ValidationInfo, field_validator, model_validator

from rune.contracts.document import Document, is_stored, refuse_reversed
from rune.contracts.names import ModelName

MAX_POINTS = 12
"""Points of a workload, each measured within one run of a function."""

SEED_COUNT = 2**31
"""Seeds that a workload may have, from 0."""

MAX_BLOCKS = 24
"""Runs of a point, each within one run of a function."""

MAX_REQUESTS = 10_000
"""Measured requests of a job, all points together."""

MAX_JUDGED_BY_MODEL = 200
"""Answers of a job that a judge model reads; each is a call."""

MAX_PROMPT_CHARS = 1_000_000
"""Of all prompts of a request together."""

PROCESS_CONCURRENCY = 64
"""Most requests under way that one process puts; see docs/benchmarks.md for what it reads in time."""

MAX_CONCURRENCY = 320
"""Most requests under way: of five processes, which the largest function has whole processors for."""

_WARMUPS_PER_SLOT = 2

MAX_TURNS = 50
"""Of one prompt that is a conversation."""

type Prompt = Annotated[str, Field(min_length=1, max_length=100_000)]
type Concurrency = Annotated[int, Field(ge=1, le=MAX_CONCURRENCY)]
type RequestRate = Annotated[float, Field(ge=0.01, le=100)]


def most_concurrency(process_count: int) -> int:
    """Return how many requests a deployment has under way at most, with so many processes for a load."""
    return PROCESS_CONCURRENCY * max(1, process_count)


class RoledTurn(Document):
    """A turn of a conversation that says whose it is."""

    role: Literal["user", "assistant"]
    """`assistant`: an answer that is sent as it is, instead of the model's own."""
    content: Prompt


def _kind_of_turn(given: object) -> str | None:
    return "|text" if isinstance(given, str) else "|turn" if isinstance(given, (dict, RoledTurn)) else None


def _kind_of_prompt(given: object) -> str | None:
    return "|text" if isinstance(given, str) else "|turns" if isinstance(given, list) else None


# The tags begin with a sign that no field's name has: errors leave them out of the place that they name.
type Turn = Annotated[
    Annotated[Prompt, Tag("|text")] | Annotated[RoledTurn, Tag("|turn")],
    Discriminator(
        _kind_of_turn,
        custom_error_type="turn_kind",
        custom_error_message="A turn is a text, or an object with role and content.",
    ),
]
type AnyPrompt = Annotated[
    Annotated[Prompt, Tag("|text")]
    | Annotated[list[Turn], Field(min_length=1, max_length=MAX_TURNS), Tag("|turns")],
    Discriminator(
        _kind_of_prompt,
        custom_error_type="prompt_kind",
        custom_error_message="A prompt is a text, or a list of turns.",
    ),
]


class GoodputLimits(Document):
    """When a request counts as good: within every limit that is given."""

    ttft_ms: float | None = Field(None, gt=0, le=3_600_000)
    """Longest time to first token, in milliseconds."""
    tpot_ms: float | None = Field(None, gt=0, le=3_600_000)
    """Longest time per output token, in milliseconds; an answer of one token has 0."""
    e2el_ms: float | None = Field(None, gt=0, le=3_600_000)
    """Longest end-to-end latency, in milliseconds."""

    @model_validator(mode="after")
    def _require_a_limit(self) -> Self:
        if self.ttft_ms is None and self.tpot_ms is None and self.e2el_ms is None:
            raise ValueError("Goodput needs at least one limit.")
        return self


class CapacitySearch(Document):
    """Looks for the highest load at which enough requests keep the limits: by doubling, then by bisection."""

    limits: GoodputLimits
    """When a request is good."""
    good_ratio: float = Field(0.9, gt=0, lt=1)
    """Least share of good requests (0 to 1) at a load that counts as within the limits."""
    load: Literal["concurrency", "request_rate"] = "concurrency"
    """What is raised: requests under way at a time, up to `max_concurrency`, or requests per second."""
    first_request_rate: RequestRate | None = None
    """Where a search of request rates begins, in requests per second; lower ones are tried if it is too high. Null
    begins at 1, or at `max_request_rate` if that is lower."""
    max_request_rate: RequestRate = 100.0
    """Where a search of request rates ends at the latest, in requests per second."""
    resolution_ratio: float = Field(0.1, ge=0.01, le=0.5)
    """How near the highest load within the limits and the lowest beyond must come, as a share of the former."""
    max_points: int = Field(10, ge=1, le=MAX_POINTS)
    """Most points to measure; a load may be measured more than once, to be surer."""

    @property
    def begins_at_per_s(self) -> float:
        """Where a search of request rates begins, in requests per second."""
        return min(1.0, self.max_request_rate) if self.first_request_rate is None else self.first_request_rate

    @model_validator(mode="after")
    def _refuse_rates_out_of_place(self, info: ValidationInfo) -> Self:
        given = self.model_fields_set & {"first_request_rate", "max_request_rate"}
        if given and self.load != "request_rate" and not is_stored(info):
            raise ValueError(f"{min(given)} goes with load request_rate; this search raises the concurrency.")
        refuse_reversed(first_request_rate=self.begins_at_per_s, max_request_rate=self.max_request_rate)
        return self


class Workload(Document):
    """What is asked, how often, and how many at a time.

    One point is measured for each entry of `concurrency` (so many requests are under way all the time), of
    `request_rates` (requests arrive at random, also at a slow server), or for each doubling of a `sweep`. A
    point asks every prompt `repetitions` times. A `search` chooses its points itself.
    """

    prompts: list[AnyPrompt] | None = Field(None, min_length=1, max_length=500)
    """Your own prompts, each a text or a list of turns; null takes `prompt_set`, or else the question. Of a list
    each text is a turn of the user's, which the model answers before the next one is sent."""
    prompt_set: Literal["chat", "code", "summary", "synthetic"] | None = None
    """Prompts that RUNE brings; `synthetic` is text of `input_tokens`."""
    repetitions: int = Field(1, ge=1, le=1000)
    """How often each prompt is asked at each point."""
    concurrency: list[Concurrency] | None = Field(None, min_length=1, max_length=MAX_POINTS)
    """Requests under way at a time, rising, one point each; null means 1. Above 64 only where the deployment has a
    lane for that."""
    request_rates: list[RequestRate] | None = Field(None, min_length=1, max_length=MAX_POINTS)
    """Requests per second on average (Poisson), rising, one point each."""
    sweep: bool = False
    """Double the concurrency from 1 until throughput rises by less than 5 % or goodput fails."""
    search: CapacitySearch | None = None
    """Choose a sweep's points so that they find the highest load within limits."""
    max_concurrency: int = Field(32, ge=1, le=MAX_CONCURRENCY)
    """Where a sweep or a search ends at the latest; also the most that `request_rates` may have under way."""
    min_waves: int = Field(10, ge=0, le=100)
    """Least requests for each slot of a point with several at a time: its prompts are repeated more often than
    `repetitions` where that gives fewer. 0 repeats none more often; nor are they where a judge model reads the
    answers."""
    warmup_requests: int | None = Field(None, ge=0, le=64)
    """Requests before each point, left out of all numbers; null takes two for each slot, and two before
    `request_rates`."""
    input_tokens: int | None = Field(None, ge=16, le=32_768)
    """Length of each `synthetic` prompt, in tokens of the model, met within a few percent."""
    output_tokens: int | None = Field(None, ge=1, le=8192)
    """Longest answer, in tokens; null leaves the server's own limit."""
    ignore_eos: bool | None = None
    """Whether an answer goes on to `output_tokens` where the server can be told so (vLLM, SGLang, llama.cpp and
    others); null means true, and false where answers are judged (`expected`)."""
    temperature: float | None = Field(None, ge=0, le=2)
    """Sampling temperature; null leaves the server's own."""
    prefix_cache: Literal["busted", "shared"] = "busted"
    """`busted` begins each prompt with a number of its own, which no cache knows; `shared` repeats it as it is."""
    seed: int = Field(0, ge=0, le=SEED_COUNT - 1)
    """Of arrivals, the prompts' order and synthetic text: the same seed is the same workload."""
    goodput: GoodputLimits | None = None
    """What a user would call good."""
    point_seconds: int = Field(300, ge=10, le=800)
    """Longest time for one run of a point; what is under way then is broken off and not counted."""
    max_blocks: int = Field(1, ge=1, le=MAX_BLOCKS)
    """Most runs (blocks) that a point may be, one after another, until all its requests have ended: for long
    answers, of which few end within `point_seconds`."""

    @property
    def point_count(self) -> int:
        """How many points there are at most."""
        return len(self.levels)

    @property
    def has_conversations(self) -> bool:
        """Whether any of its prompts has several turns."""
        return any(not isinstance(prompt, str) for prompt in self.prompts or ())

    @property
    def longest_seconds(self) -> int:
        """How long all points may take."""
        return self.point_count * self.max_blocks * self.point_seconds

    @property
    def limits(self) -> GoodputLimits | None:
        """When a request is good."""
        return self.goodput if self.search is None else self.search.limits

    @property
    def is_open(self) -> bool:
        """Whether requests arrive at a rate, also at a slow server."""
        return self.request_rates is not None or (
            self.search is not None and self.search.load == "request_rate"
        )

    @property
    def levels(self) -> list[int]:
        """Most requests under way at each point, in order; of a search, no fewer than it will have there."""
        if self.search is not None:
            count = self.search.max_points
            if self.is_open:
                return [self.max_concurrency] * count
            return [min(2**index, self.max_concurrency) for index in range(count)]
        if self.request_rates is not None:
            return [self.max_concurrency] * len(self.request_rates)
        if self.sweep:
            # 1, 2, 4 … and the limit itself, which need not be a power of two.
            doublings = (self.max_concurrency - 1).bit_length() + 1
            return [min(2**index, self.max_concurrency) for index in range(doublings)]
        return self.concurrency or [1]

    def repetitions_at(self, level: int, prompt_count: int, *, grows: bool) -> int:
        """Return how often each prompt is asked at a point with so many requests under way.

        Ramp and drain of a closed load are a large share of it where each slot has few requests (`min_waves`).

        Parameters
        ----------
        grows
            False where each answer costs a call of a judge model.
        """
        if level == 1 or self.is_open or not grows:
            return self.repetitions
        return max(self.repetitions, -(-self.min_waves * level // prompt_count))

    def warmups_at(self, level: int) -> int:
        """Return how many requests come before each run of a point with so many requests under way."""
        if self.warmup_requests is not None:
            return self.warmup_requests
        return _WARMUPS_PER_SLOT * (1 if self.is_open else level)

    def asked_again_at(self, level: int) -> int:
        """Return how many requests of a point are asked again at most, since a run ended before they did."""
        return (self.max_blocks - 1) * level

    def request_count(self, prompt_count: int, *, grows: bool, turn_count: int | None = None) -> int:
        """Return how many requests are measured at most, all points together.

        Parameters
        ----------
        turn_count
            Requests that all prompts together are; None for one each.
        """
        each = (self.repetitions_at(level, prompt_count, grows=grows) for level in self.levels)
        return (prompt_count if turn_count is None else turn_count) * sum(each)

    @property
    def warmup_count(self) -> int:
        """How many requests come before points at most, all points together."""
        return self.max_blocks * sum(map(self.warmups_at, self.levels))

    @model_validator(mode="after")
    def _refuse_contradictions(self) -> Self:
        if self.prompts is not None and self.prompt_set is not None:
            raise ValueError("prompts and prompt_set are given at once.")
        if (self.prompt_set == "synthetic") != (self.input_tokens is not None):
            raise ValueError("input_tokens goes with prompt_set synthetic, and only with it.")
        if [self.concurrency is not None, self.request_rates is not None, self.sweep].count(True) > 1:
            raise ValueError("Give only one of concurrency, request_rates and sweep.")
        if self.search is not None and (self.concurrency is not None or self.request_rates is not None):
            raise ValueError(
                "search chooses its loads itself, so concurrency and request_rates are not given."
            )
        if self.search is not None and self.goodput is not None:
            raise ValueError("search has limits of its own, so goodput is not given beside it.")
        return self

    @model_validator(mode="after")
    def _refuse_what_is_too_long_or_in_disorder(self, info: ValidationInfo) -> Self:
        if is_stored(info):
            return self
        turns = [[prompt] if isinstance(prompt, str) else prompt for prompt in self.prompts or ()]
        chars = (len(turn if isinstance(turn, str) else turn.content) for each in turns for turn in each)
        if sum(chars) > MAX_PROMPT_CHARS:
            raise ValueError(f"The prompts together are longer than {MAX_PROMPT_CHARS} characters.")
        for index, each in enumerate(turns):
            fixed = [not isinstance(turn, str) and turn.role == "assistant" for turn in each]
            if fixed[0] or fixed[-1] or any(map(all, pairwise(fixed))):
                raise ValueError(
                    f"prompts[{index}]: the first and the last turn are the user's, and no two turns of the "
                    "assistant follow each other."
                )
        for name in ("concurrency", "request_rates"):
            levels = getattr(self, name)
            if levels is not None and levels != sorted(set(levels)):
                raise ValueError(f"{name} must rise from entry to entry.")
        return self


@cache
def question_once() -> Workload:
    """Return the workload of a benchmark without one: the question, once, exactly as it is."""
    return Workload(warmup_requests=0, ignore_eos=False, prefix_cache="shared")


class NumericExpectation(Document):
    """A number that the answer must hold."""

    value: float
    """What is right; the last number in the answer is compared with it."""
    tolerance: float = Field(0.0, ge=0)
    """Largest difference that still counts, in the number's own unit."""
    relative_tolerance: float = Field(0.0, ge=0, le=1)
    """The same as a ratio of `value`; the larger of the two holds."""


class JudgeModel(Document):
    """A model that reads each answer and gives a score."""

    model: ModelName
    """Name of the model on its server."""
    rubric: str = Field(min_length=1, max_length=8000)
    """What a good answer is, in words; the judge gives 0 to 10 by it."""
    backend_url: str | None = Field(None, min_length=1, max_length=2048)
    """Its server; null means the server that is measured."""
    backend_type: Literal["ollama", "openai", "bedrock"] = "ollama"
    """Kind of that server; only with `backend_url`, or for `bedrock`."""
    backend_credential: str | None = Field(None, min_length=1, max_length=64)
    """Name of the tenant's credential for it."""

    @property
    def is_elsewhere(self) -> bool:
        """Whether it runs on another server than the one that is measured."""
        return self.backend_url is not None or self.backend_type == "bedrock"


class Expectation(Document):
    """What a right answer is; exactly one method."""

    contains: list[Annotated[str, Field(min_length=1, max_length=10_000)]] | None = Field(
        None, min_length=1, max_length=100
    )
    """Texts that must occur, in upper or lower case; the score is the share that does."""
    regex: str | None = Field(None, min_length=1, max_length=1000)
    """A pattern (Rust's regex syntax, linear in time) that must match somewhere: 0 or 1."""
    json_schema: dict[str, object] | None = None
    """A JSON schema (2020-12) that the answer, or the one block of code in it, must satisfy: 0 or 1."""
    numeric: NumericExpectation | None = None
    """A number that must come out: 0 or 1."""
    judge: JudgeModel | None = None
    """A model that gives a score."""
    pass_score: float | None = Field(None, gt=0, le=1)
    """Least score that passes; null means 0.7 for a judge model and 1 for every other method."""

    @property
    def method(self) -> Literal["contains", "regex", "json_schema", "numeric", "judge"]:
        """The one method that is given."""
        methods: tuple[Literal["contains", "regex", "json_schema", "numeric", "judge"], ...] = (
            "contains",
            "regex",
            "json_schema",
            "numeric",
            "judge",
        )
        return next(method for method in methods if getattr(self, method) is not None)

    @property
    def least_score(self) -> float:
        """The least score that passes."""
        if self.pass_score is not None:
            return self.pass_score
        return 0.7 if self.judge is not None else 1.0

    @field_validator("json_schema")
    @classmethod
    def _refuse_what_json_cannot_hold(cls, schema: dict[str, object] | None) -> dict[str, object] | None:
        # Python's own reader of JSON lets NaN and half characters through, and JSON cannot hold them.
        try:
            json.dumps(schema, allow_nan=False, ensure_ascii=False).encode()
        except (ValueError, RecursionError):
            raise ValueError("The schema holds what JSON cannot hold.") from None
        return schema

    @model_validator(mode="after")
    def _require_one_method(self) -> Self:
        given = [self.contains, self.regex, self.json_schema, self.numeric, self.judge]
        if sum(method is not None for method in given) != 1:
            raise ValueError("Give exactly one of contains, regex, json_schema, numeric and judge.")
        return self
