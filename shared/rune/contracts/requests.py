"""What callers send.

A field that is not named here is refused by name, so that a misspelt option never passes for a default.
"""

from typing import Annotated, Literal, Self

from pydantic import (
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic.config import JsonDict

from rune.contracts.document import BUILT_AT_IMPORT, Document, is_stored, refuse_reversed
from rune.contracts.leniency import take_job
from rune.contracts.names import ModelName
from rune.contracts.suites import MOST_CASES, SUITE_NAME
from rune.contracts.workloads import Expectation, Workload, question_once
from rune.errors import InvalidDocumentError

type BackendType = Literal["ollama", "openai", "bedrock"]

MOST_MISTAKES = 1000
"""Of one document. More are counted and not named."""

LARGEST_VRAM_MB = 4_000_000
"""GPU memory that a job may ask for: above every machine that is offered for rent."""

LEAST_COST_USD = 0.000_001
"""Of `max_cost_usd`: money is counted in millionths of a dollar, and a job that may cost nothing cannot rent."""

LARGEST_COST_USD = 10_000.0

MOST_METADATA = 16
"""Entries of a job's `metadata`."""

DEFAULT_AGENT = "ask"
"""Works for a request that names no agent."""

type JobName = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$")]
type MetadataKey = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,39}$")]
type MetadataValue = Annotated[str, Field(max_length=128, pattern=r"^[^\x00-\x1f\x7f]*$")]

MOST_RUNS_PER_CASE = 10
"""Of a suite."""

type CaseId = Annotated[str, Field(min_length=1, max_length=64)]

type Url = Annotated[str, Field(min_length=1, max_length=2048)]


class VastaiProvisioning(Document):
    """The Vast.ai fields in the nested form."""

    template_hash: str | None = Field(None, max_length=256)
    """Hash of the Vast.ai template to boot."""
    min_dph: float = Field(0.0, ge=0, le=1000)
    """Lowest price of an offer, in USD per hour."""
    max_dph: float = Field(3.0, ge=0, le=1000)
    """Highest price of an offer, in USD per hour."""
    reliability: float = Field(0.99, ge=0, le=1)
    """Lowest reliability of the host, as a ratio."""
    stop_instance: bool = True
    """Whether to give the machine back when the job ends."""

    @model_validator(mode="after")
    def _refuse_reversed_prices(self, info: ValidationInfo) -> Self:
        if not is_stored(info):
            refuse_reversed(min_dph=self.min_dph, max_dph=self.max_dph)
        return self


class Provisioning(Document):
    """Where the machine comes from, in the nested form."""

    vastai: VastaiProvisioning | None = None
    """Rent on Vast.ai under these terms."""


class RentalChoice(Document):
    """Vast.ai's terms, flat as in the specification or nested under `provisioning`; not both."""

    vastai: bool = False
    """Rent a GPU on Vast.ai for the job."""
    template_hash: str | None = Field(None, max_length=256)
    """Hash of the Vast.ai template to boot."""
    min_dph: float | None = Field(None, ge=0, le=1000)
    """Lowest price of an offer, in USD per hour."""
    max_dph: float | None = Field(None, ge=0, le=1000)
    """Highest price of an offer, in USD per hour."""
    reliability: float | None = Field(None, ge=0, le=1)
    """Lowest reliability of the host, as a ratio."""
    vastai_stop_instance: bool = True
    """Whether to give the machine back when the job ends."""
    provisioning: Provisioning | None = None
    """Vast.ai's terms in the nested form."""
    min_vram_mb: int | None = Field(None, ge=1000, le=LARGEST_VRAM_MB)
    """GPU memory that the model needs, in MB; only for a model whose size RUNE does not know."""
    boot_timeout_seconds: int = Field(360, ge=60, le=1800)
    """Longest time that a rented machine may take to boot, in seconds; then another one is tried."""
    max_cost_usd: float | None = Field(None, ge=LEAST_COST_USD, le=LARGEST_COST_USD)
    """Most that the job may cost, in USD: machines, traffic, the time for which one is kept, and tokens of Amazon
    Bedrock. Then it stops with what it has. Null takes your tenant's or the deployment's limit."""
    keep_seconds: int = Field(3600, ge=60, le=604_800)
    """How long a machine that is kept stays, in seconds from the job's end; your tenant has a ceiling."""

    @property
    def wants_rental(self) -> bool:
        """Whether a GPU is to be rented, by the flat or the nested form."""
        return self.vastai or (self.provisioning is not None and self.provisioning.vastai is not None)

    @property
    def rental_terms(self) -> VastaiProvisioning:
        """Vast.ai's terms, from the flat or the nested form."""
        if self.provisioning is not None and self.provisioning.vastai is not None:
            return self.provisioning.vastai
        given = {
            "template_hash": self.template_hash,
            "min_dph": self.min_dph,
            "max_dph": self.max_dph,
            "reliability": self.reliability,
        }
        chosen = {name: value for name, value in given.items() if value is not None}
        # Every value was validated as a field of this document.
        return VastaiProvisioning.model_construct(**chosen, stop_instance=self.vastai_stop_instance)  # type: ignore[arg-type]

    @model_validator(mode="after")
    def _refuse_both_forms(self, info: ValidationInfo) -> Self:
        if is_stored(info):
            # A stored document has every default in it, which a caller has not given.
            return self
        nested = self.provisioning is not None and self.provisioning.vastai is not None
        flat = {"template_hash", "min_dph", "max_dph", "reliability", "vastai_stop_instance"}
        given = {name for name in flat & self.model_fields_set if getattr(self, name) is not None}
        if nested and given:
            raise ValueError("Vast.ai's terms are given twice: flat and under provisioning.")
        if nested and "vastai" in self.model_fields_set and not self.vastai:
            raise ValueError("vastai is false, and provisioning.vastai asks for a machine: send one of them.")
        highest = VastaiProvisioning().max_dph if self.max_dph is None else self.max_dph
        if self.min_dph is not None:
            refuse_reversed(min_dph=self.min_dph, max_dph=highest)
        return self


class JobTimes(Document):
    """How long the job may wait and run. Each may be shorter than what your deployment and tenant allow."""

    queue_timeout_seconds: int | None = Field(None, ge=1, le=604_800)
    """Longest time that the job may wait to be begun, in seconds; null takes the deployment's, a day by default."""
    max_runtime_seconds: int | None = Field(None, ge=60, le=86_400)
    """Longest time that the job may run once it is begun, in seconds; null takes your tenant's or the
    deployment's."""


class JobTerms(JobTimes):
    """What a caller may say of each job."""

    name: JobName | None = None
    """Yours for the job, up to 128 characters; several jobs may have the same."""
    metadata: dict[MetadataKey, MetadataValue] | None = Field(None, max_length=MOST_METADATA)
    """Up to 16 texts of yours, of up to 128 characters, by keys of up to 40 (letters, digits, `_`, `.`, `-`)."""
    callback_url: Url | None = None
    """Where the job's end is posted, signed as webhooks are; https."""
    dry_run: bool | None = None
    """Check all, make no job, and answer 200 with its plan: offer, dollars, phases, budgets after it."""
    _leniences: tuple[str, ...] = PrivateAttr(())

    @model_validator(mode="wrap")
    @classmethod
    def _take_what_clients_send(
        cls, given: object, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo
    ) -> Self:
        if is_stored(info) or not isinstance(given, dict):
            return handler(given)
        document, warnings = take_job(given, cls.model_fields)
        made = handler(document)
        made._leniences = warnings  # noqa: SLF001  # of the same class
        return made

    @property
    def leniences(self) -> tuple[str, ...]:
        """What is done otherwise than the caller wrote, by name (`rune.contracts.leniency`)."""
        return self._leniences

    @model_validator(mode="wrap")
    @classmethod
    def _count_mistakes(cls, given: object, validate: ModelWrapValidatorHandler[Self]) -> Self:
        # A body of 5 MB may hold 400,000 unknown fields: to name them all takes 25 MB and three seconds.
        try:
            return validate(given)
        except ValidationError as error:
            count = error.error_count()
            if count <= MOST_MISTAKES:
                raise
            sentence = f"There are {count:,} mistakes in the document, too many to name."
            raise InvalidDocumentError(sentence, [{"pointer": "", "detail": sentence}]) from None


class BackendChoice(JobTerms):
    """A model server that runs already."""

    backend_url: Url | None = None
    """Its address, such as `http://host:11434`."""
    backend_type: BackendType = "ollama"
    """Its kind: `ollama`, any OpenAI-compatible one as `openai`, or Amazon `bedrock`, which needs no address."""
    backend_credential: str | None = Field(None, min_length=1, max_length=64)
    """Name of the tenant's credential for the server, where it wants one; never the credential itself."""


class Question(BackendChoice):
    """A question for a model."""

    question: str = Field(min_length=1, max_length=100_000)
    """What to ask."""
    model: ModelName
    """Name of the model on its server."""
    backend_warmup: bool = True
    """Whether to load the model before the question is asked, outside the measurement."""
    backend_warmup_timeout: int = Field(300, ge=30, le=900)
    """Longest time that loading may take, in seconds."""
    timeout_seconds: int = Field(600, ge=10, le=840)
    """Longest time that the answer may take, in seconds, counted from the question."""
    kubeconfig: str | None = Field(None, max_length=4096)
    """Ignored: a path on the caller's machine, which means nothing here. Accepted because clients send it."""


def _leave_the_question_to_the_workload(schema: JsonDict) -> None:
    """Take the question out of what a request must have: a workload may bring prompts instead."""
    required = schema.get("required")
    schema["required"] = (
        [name for name in required if name != "question"] if isinstance(required, list) else []
    )


class BenchmarkRequest(Question, RentalChoice):
    """Ask a model one question, or put it to work, and measure the answers.

    `question` may be left out beside a workload that brings prompts (`prompts` or `prompt_set`), and beside a
    `suite`, whose cases ask. Then the first prompt, or the name of the set or suite, stands for it.
    """

    model_config = ConfigDict(**BUILT_AT_IMPORT, json_schema_extra=_leave_the_question_to_the_workload)

    attestation_required: bool = False
    """Whether the machine must prove what it is. Not offered, so true is refused."""
    context_tokens: int | None = Field(None, ge=256, le=1_048_576)
    """Context to load the model with, in tokens (Ollama alone can be told); null leaves the server's own, and on a
    rented machine takes what the prompts and answers need."""
    workload: Workload | None = None
    """How often, how many at a time, and what is asked; null asks the question once."""
    expected: Expectation | None = None
    """What a right answer is; null judges none."""
    suite: str | None = Field(None, pattern=SUITE_NAME)
    """Try the model as an investigator on the cases of a suite: one that RUNE brings, as `kubernetes-classics`, or
    your tenant's own. Temperature is 0. Not beside `question`, `workload` and `expected`."""
    suite_version: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")
    """Refuse the job where the suite has other cases than these by now; null takes those of now, and keeps them."""
    cases: list[CaseId] | None = Field(None, min_length=1, max_length=MOST_CASES)
    """Ids of the suite's cases to run; null runs all."""
    runs: int | None = Field(None, ge=1, le=MOST_RUNS_PER_CASE)
    """How often each case is run; null is 3."""
    max_turns: int | None = Field(None, ge=2, le=100)
    """Answers of the model in one run of a case; null is 20. Then it is asked for what it has."""
    max_tool_calls: int | None = Field(None, ge=1, le=1000)
    """Calls of tools in one run of a case; null is 40."""
    max_tokens: int | None = Field(None, ge=1000, le=10_000_000)
    """Tokens of one run of a case, in and out together; null is 200,000."""

    @model_validator(mode="before")
    @classmethod
    def _name_the_prompts(cls, given: object) -> object:
        # Kept with the request, so that every version reads it: none asks a workload's prompts by the question.
        if not isinstance(given, dict) or "question" in given:
            return given
        if isinstance(given.get("suite"), str):
            return {**given, "question": given["suite"]}
        if not isinstance(given.get("workload"), dict):
            return given
        prompts, prompt_set = given["workload"].get("prompts"), given["workload"].get("prompt_set")
        first = prompts[0] if isinstance(prompts, list) and prompts else prompt_set
        if isinstance(first, list) and first:  # a conversation, whose first turn stands for it
            first = first[0].get("content") if isinstance(first[0], dict) else first[0]
        return {**given, "question": first} if isinstance(first, str) else given

    @property
    def ignores_eos(self) -> bool:
        """Whether answers are to go on after the model's end of text, where the server can be told so.

        What a model writes after its end is no answer, and would be judged as one.
        """
        wanted = self.measured.ignore_eos
        return self.expected is None if wanted is None else wanted

    @property
    def measured(self) -> Workload:
        """What is measured: the workload, or the question once where none is given."""
        return self.workload or question_once()

    @property
    def grows(self) -> bool:
        """Whether points may ask more than `repetitions` says (`Workload.repetitions_at`)."""
        return self.workload is not None and (self.expected is None or self.expected.judge is None)


class AgenticAgentRequest(Question):
    """Let an agent answer a question."""

    agent: str = Field(DEFAULT_AGENT, min_length=1, max_length=64)
    """Which agent, as `GET /v1/catalog/agents` lists them: `ask` puts the question to the model, `holmes`,
    `driver` and `a2a` to a server of the tenant's; `kubernetes`, the default where `cluster` is named, lets the
    model read the cluster."""
    cluster: str | None = Field(None, min_length=1, max_length=64)
    """Name of a cluster of your tenant's, for an agent that reads one. Your operator adds clusters."""
    max_turns: int = Field(20, ge=2, le=100)
    """Calls of the model that an agent may make which works in turns."""
    max_tool_calls: int = Field(60, ge=1, le=1000)
    """Calls of tools that such an agent may make, all turns together."""
    max_tokens: int = Field(500_000, ge=1000, le=10_000_000)
    """Tokens that such an agent may take, in and out together, all turns together."""
    max_cost_usd: float | None = Field(None, ge=LEAST_COST_USD, le=LARGEST_COST_USD)
    """Most that the job may cost, in USD: tokens of Amazon Bedrock. Null takes your tenant's or the deployment's
    limit."""


class LlmInstanceRequest(BackendChoice, RentalChoice):
    """Get the address of a model server that answers, on a machine that RUNE rents or on one that is there."""

    model: ModelName | None = None
    """The model to put on a rented machine; null takes `llama3.1:8b`, the smallest of the catalog."""
    backend_warmup_timeout: int = Field(300, ge=30, le=900)
    """Longest time that loading it may take, in seconds."""
