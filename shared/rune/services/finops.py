"""What runs of a tenant are expected to cost: on a rented machine, or in tokens of Amazon Bedrock."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, timedelta

from rune.clock import Clock
from rune.errors import InvalidRequestError
from rune.jobs.record import Kind
from rune.jobs.samples import Sample, SampleStore, Shape
from rune.jobs.store import JobStore
from rune.jobs.usage import Usage, add_up
from rune.money.catalog import SizedModel
from rune.money.finops import (
    ASSUMED_INPUT_TOKENS,
    ASSUMED_OUTPUT_TOKENS,
    CostBasis,
    GpuPrice,
    RunTimes,
    Simulation,
    TokenCost,
    simulate,
    spread,
)
from rune.money.sizing import SMALLEST_MODEL, size_model
from rune.money.token_prices import TokenPrice, find_list_price, prices_read_on
from rune.rentals.market import MarketRow, Scope
from rune.services.catalog_prices import describe_needs
from rune.services.run_costs import Evidence, find_cost, split_gpu

HISTORY_DAYS = 90
_ROUTES = ("ollama/", "ollama_chat/")
"""In front of a model's name, where a client's own library wants them."""

_COUNTED_KINDS = (Kind.BENCHMARK.value, Kind.AGENTIC_AGENT.value)


AGENT_NOTE = (
    "RUNE rents no machine for an agent: this is what one costs that is rented for the time of a run."
)
_BUILT_IN_AGENT = "holmes"
_BEDROCK_NAME = re.compile(
    r"(arn:aws|((us|eu|apac|global|us-gov)\.)?(amazon|anthropic|meta|mistral|cohere|ai21|deepseek)\.)"
)
"""How ids of Amazon Bedrock begin (https://docs.aws.amazon.com/bedrock/latest/userguide/models-supported.html)."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be simulated; empty texts say nothing."""

    agent: str
    model: str
    gpu: str
    suite: str
    run_count: int


@dataclass(frozen=True, slots=True)
class Simulated:
    """A simulation, and what it rests on.

    Attributes
    ----------
    gpu
        The machine, such as `2x RTX 4090`; empty where none is rented.
    price
        None where no machine is rented, or its price is not known.
    notes
        What the numbers rest on, as sentences.
    basis
        None where no machine is rented.
    """

    simulation: Simulation
    model: str
    gpu: str
    times: RunTimes
    price: GpuPrice | None
    tokens: TokenCost
    notes: tuple[str, ...]
    basis: CostBasis | None = None


class FinopsService:
    """Simulations as one tenant's callers see them; raises StoreUnavailableError."""

    def __init__(
        self,
        jobs: JobStore,
        samples: SampleStore,
        read_market: Callable[[], tuple[MarketRow, ...]],
        clock: Clock,
        bedrock_region: str,
    ) -> None:
        self._jobs = jobs
        self._samples = samples
        self._read_market = read_market
        self._clock = clock
        self._bedrock_region = bedrock_region

    def simulate(self, tenant: str, asked: Asked) -> Simulated:
        """Return what runs are expected to cost.

        Raises
        ------
        InvalidRequestError
            `model_size_unknown`; `price_unknown` for a GPU of which no price is known, or of which no machine holds
            the model; `token_price_unknown` for a model of Amazon Bedrock without a price.
        """
        name = _plain_name(asked.model) or SMALLEST_MODEL.name
        own = self._read_own(tenant, asked, name)
        tokens = _mean_tokens(own)
        token_price = find_list_price(name, self._bedrock_region)
        if token_price is not None:
            times = spread(_mean_seconds(own), own.succeeded_count)
            if not tokens.run_count:
                tokens = _assume_tokens(token_price)
            return Simulated(
                simulate(None, tokens, asked.run_count),
                name,
                "",
                times,
                None,
                tokens,
                (_token_note(tokens), *_agent_notes(asked, own), *_suite_note(asked)),
            )
        if _BEDROCK_NAME.match(name):
            raise InvalidRequestError(
                f"RUNE knows no price of the tokens of {name!r}.",
                pointer="/model",
                code="token_price_unknown",
            )
        model = _size(name)
        own_times = spread(_mean_seconds(own), own.succeeded_count) if own.succeeded_count else None
        samples = () if asked.agent else self._read_samples(model)
        found = find_cost(asked.gpu, model, Evidence(self._read_market(), samples, own_times))
        simulation = simulate(found.cost, tokens, asked.run_count)
        notes = (found.note, *_gpu_note(asked, found.gpu), *_agent_notes(asked, own), *_suite_note(asked))
        return Simulated(
            simulation, model.name, found.gpu, found.times, found.price, tokens, notes, found.cost.basis
        )

    def _read_own(self, tenant: str, asked: Asked, name: str) -> Usage:
        """Return what the tenant's runs of 90 days have used, of the agent and the model of the answer."""
        today = self._clock.now().astimezone(UTC).date()
        used = self._jobs.read_usage(tenant, today - timedelta(days=HISTORY_DAYS - 1), today)
        return add_up(
            usage
            for row, usage in used.items()
            if row.kind in _COUNTED_KINDS
            and (not asked.agent or row.agent == asked.agent)
            # Also where none was named: the answer is of that model.
            and row.model in {asked.model, name}
        )

    def _read_samples(self, model: SizedModel) -> tuple[Sample, ...]:
        """Return what rented runs of this deployment have left, of models of the model's size."""
        shape = Shape(Kind.BENCHMARK.value, Scope.of(describe_needs(model)).class_gb)
        return self._samples.read(shape, self._clock.now())


def _mean_seconds(own: Usage) -> float:
    return own.succeeded_run_seconds / own.succeeded_count if own.succeeded_count else 0.0


def _mean_tokens(own: Usage) -> TokenCost:
    if not own.succeeded_token_micro_usd:
        return TokenCost()
    return TokenCost(-(-own.succeeded_token_micro_usd // own.succeeded_count), own.succeeded_count)


def _assume_tokens(price: TokenPrice) -> TokenCost:
    cost = price.cost_micro_usd(ASSUMED_INPUT_TOKENS, ASSUMED_OUTPUT_TOKENS)
    return TokenCost(cost, 0, ASSUMED_INPUT_TOKENS, ASSUMED_OUTPUT_TOKENS)


def _token_note(tokens: TokenCost) -> str:
    if tokens.run_count:
        count = tokens.run_count
        return f"Tokens: the mean of your own runs in {HISTORY_DAYS} days that succeeded, {count} in all."
    return f"Tokens: assumed, by the list prices of {prices_read_on()}."


def _suite_note(asked: Asked) -> tuple[str, ...]:
    return ("History is not counted by suite: runs of every suite are in it.",) if asked.suite else ()


def _agent_notes(asked: Asked, own: Usage) -> tuple[str, ...]:
    if not asked.agent:
        return ()
    known = () if own.job_count or asked.agent == _BUILT_IN_AGENT else (_unknown_agent(asked.agent),)
    return (*known, AGENT_NOTE)


def _unknown_agent(agent: str) -> str:
    return f"No run of an agent {agent!r} is known of your tenant; an agent is named as in its jobs."


def _gpu_note(asked: Asked, taken: str) -> tuple[str, ...]:
    count, _ = split_gpu(asked.gpu)
    if count is None or count == split_gpu(taken)[0]:
        return ()
    sentence = f"GPU: a search takes the cheapest machine that holds the model, {taken};"
    return (f"{sentence} a job cannot ask for {asked.gpu}.",)


def _plain_name(model: str) -> str:
    for route in _ROUTES:
        model = model.removeprefix(route)
    return model


def _size(model: str) -> SizedModel:
    try:
        return size_model(model)
    except InvalidRequestError:
        raise InvalidRequestError(
            f"RUNE does not know how large {model!r} is, so it cannot say which machine holds it.",
            pointer="/model",
            code="model_size_unknown",
        ) from None
