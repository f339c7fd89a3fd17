"""What runs are expected to cost, in the words of RUNE's clients."""

from typing import Annotated

from fastapi import APIRouter, Query, Request

from api.auth import admitted_caller_of
from api.problems import responses
from api.queries import StrictRoute
from api.request_lines import changes_nothing
from api.services import services_of
from rune.amounts import MICRO_USD_PER_USD
from rune.contracts.finops import (
    MOST_PERIODS,
    MOST_RUNS,
    CostComponents,
    SimulationReport,
    SimulationRequest,
)
from rune.contracts.leniency import take_model
from rune.contracts.names import MAX_MODEL_NAME_CHARS
from rune.errors import InvalidRequestError
from rune.services.finops import Asked

router = APIRouter(
    route_class=StrictRoute,
    prefix="/v1/finops/simulate",
    tags=["money"],
    responses=responses(401, 403, 422, 503),
)

DEFAULT_GPU = "RTX 4090"
"""Also where the parameter is there and empty, as the operator sends it."""

AgentQuery = Annotated[
    str,
    Query(
        max_length=64, description="Only the times of this agent's runs; an unknown one is named in `notes`."
    ),
]
ModelQuery = Annotated[
    str, Query(max_length=MAX_MODEL_NAME_CHARS, description="Name of the model, as on its server.")
]
GpuQuery = Annotated[
    str,
    Query(
        max_length=64,
        description="`rtx4090`, `RTX 4090`, or `a100` in any form; how many a search decides.",
    ),
]
SuiteQuery = Annotated[
    str, Query(max_length=256, description="Accepted; history is not counted by suite, and a note says so.")
]
RunsQuery = Annotated[int, Query(ge=1, le=MOST_RUNS, description="Runs in a period.")]
PeriodsQuery = Annotated[int, Query(ge=1, le=MOST_PERIODS, description="Periods.")]


@router.get("")
async def get_cost_simulation(
    request: Request,
    *,
    agent: AgentQuery = "",
    model: ModelQuery = "",
    gpu: GpuQuery = DEFAULT_GPU,
    suite: SuiteQuery = "",
    runs_per_period: RunsQuery = 1,
    period_days: PeriodsQuery = 1,
) -> SimulationReport:
    """Return what runs are expected to cost, and what that rests on."""
    return _simulate(
        request,
        SimulationRequest(
            agent=agent,
            model=model,
            gpu=gpu,
            suite=suite,
            runs_per_period=runs_per_period,
            period_days=period_days,
        ),
    )


@router.post("", responses=responses(400, 413, 415))
async def simulate_cost(
    request: Request,
    body: SimulationRequest | None = None,
    *,
    agent: AgentQuery = "",
    model: ModelQuery = "",
    gpu: GpuQuery = DEFAULT_GPU,
    suite: SuiteQuery = "",
    runs_per_period: RunsQuery = 1,
    period_days: PeriodsQuery = 1,
) -> SimulationReport:
    """Return the same, with the parameters in the body, in the query, or in both where they do not contradict."""
    changes_nothing(request)
    query = {
        "agent": agent,
        "model": model,
        "gpu": gpu,
        "suite": suite,
        "runs_per_period": runs_per_period,
        "period_days": period_days,
    }
    named = {name: query[name] for name in request.query_params if name in query}
    sent = {} if body is None else body.model_dump(exclude_none=True)
    if sent.get("gpu") == "":
        del sent["gpu"]
    for name, value in named.items():
        if sent.get(name, value) != value:
            raise InvalidRequestError(
                f"{name} is another one in the query than in the body.",
                pointer=f"/{name}",
                code="query_and_body_differ",
            )
    return _simulate(request, SimulationRequest.model_validate({**query, **sent}))


def _simulate(request: Request, asked: SimulationRequest) -> SimulationReport:
    tenant = admitted_caller_of(request).tenant
    runs, periods = asked.runs_per_period or 1, asked.period_days or 1
    found = (
        services_of(request)
        .finops()
        .simulate(
            tenant,
            Asked(
                asked.agent or "",
                take_model(asked.model or ""),
                asked.gpu or DEFAULT_GPU,
                asked.suite or "",
                runs * periods,
            ),
        )
    )
    simulation, times, price, tokens = found.simulation, found.times, found.price, found.tokens
    run_usd = _usd(simulation.run_micro_usd)
    gpu_usd, token_usd = _usd(simulation.gpu_micro_usd), _usd(simulation.token_micro_usd)
    return SimulationReport(
        agent=asked.agent or "",
        model=found.model,
        gpu=found.gpu,
        total_cost_usd=run_usd,
        gpu_cost_usd=gpu_usd,
        token_cost_usd=token_usd,
        projected_cost_usd=run_usd,
        projected_total_usd=_usd(simulation.total_micro_usd),
        cost_low_usd=_usd(simulation.low_micro_usd),
        cost_high_usd=_usd(simulation.high_micro_usd),
        confidence=simulation.confidence,
        confidence_score=simulation.confidence_score,
        cost_basis="tokens" if found.basis is None else found.basis,
        historical_match=simulation.basis == "from_history",
        historical_basis=simulation.basis,
        historical_sample_count=times.run_count,
        token_samples_from_history=tokens.run_count,
        llm_input_tokens_assumed=tokens.input_assumed,
        llm_output_tokens_assumed=tokens.output_assumed,
        runs_per_period=runs,
        period_days=periods,
        avg_duration_seconds=round(times.mean_seconds, 3),
        vast_pricing_source="none" if price is None else price.source,
        price_as_of=None if price is None else price.as_of,
        price_usd_per_hour=0.0 if price is None else _usd(price.likely_micro_usd),
        components_usd=CostComponents(gpu_compute=gpu_usd, llm_tokens=token_usd),
        notes=list(found.notes),
    )


def _usd(micro_usd: int) -> float:
    return micro_usd / MICRO_USD_PER_USD
