"""Calls that tell what there is, what it would cost, what it has cost, and whether RUNE answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from rune_client.answers import read_document, read_raw
from rune_client.calls.call import KEY_HEADER, Call, Query, segment
from rune_client.documents import (
    AgentCatalog,
    Catalog,
    CostEstimationResponse,
    Health,
    MetricsSummary,
    ServerModels,
    SimulationReport,
    UsageReport,
)

_READING = frozenset({"GET", "HEAD"})


def estimate(body: Mapping[str, Any]) -> Call[CostEstimationResponse]:
    """Return what a run would cost. It stores nothing, so it is sent again where no answer comes.

    Parameters
    ----------
    body
        Exactly one of `vastai`, `aws`, `gcp`, `azure`, `local_hardware` is true.
    """
    return Call(
        method="POST",
        path="/v1/estimates",
        reads=read_document,
        body=dict(body),
        is_repeatable=True,
    )


def finops(
    *,
    agent: str | None = None,
    model: str | None = None,
    gpu: str | None = None,
    suite: str | None = None,
    runs_per_period: int | None = None,
    period_days: int | None = None,
) -> Call[SimulationReport]:
    """Return what runs are expected to cost, by the tenant's own history where there is one."""
    return Call(
        method="GET",
        path="/v1/finops/simulate",
        reads=read_document,
        query={
            "agent": agent,
            "model": model,
            "gpu": gpu,
            "suite": suite,
            "runs_per_period": runs_per_period,
            "period_days": period_days,
        },
        is_repeatable=True,
    )


def usage(*, days: int | None = None) -> Call[UsageReport]:
    """Return what ended jobs have used, by day, kind and model, and what is left of budgets.

    Parameters
    ----------
    days
        1 to 92; 30 where none is named.
    """
    return Call(
        method="GET",
        path="/v1/usage",
        reads=read_document,
        query={"days": days},
        is_repeatable=True,
    )


def models(
    backend_url: str | None = None, backend_type: str | None = None, *, backend_credential: str | None = None
) -> Call[ServerModels]:
    """Return the models that a server offers, and those that it has loaded."""
    return Call(
        method="GET",
        path="/v1/llm/models",
        reads=read_document,
        query={
            "backend_url": backend_url,
            "backend_type": backend_type,
            "backend_credential": backend_credential,
        },
        is_repeatable=True,
    )


def catalog(name: str = "vastai-models") -> Call[Catalog]:
    """Return a catalog: `vastai-models` has the models that fit on rented GPUs."""
    return Call(
        method="GET",
        path=f"/v1/catalog/{segment(name, 'The name of the catalog')}",
        reads=read_document,
        is_repeatable=True,
    )


def agents() -> Call[AgentCatalog]:
    """Return the agents that RUNE has, what each needs, and whether the tenant has it."""
    return Call(
        method="GET",
        path="/v1/catalog/agents",
        reads=read_document,
        is_repeatable=True,
    )


def metrics(job_id: str | None = None) -> Call[MetricsSummary]:
    """Return counts and durations of the events of own jobs that have ended, or of one job."""
    return Call(
        method="GET",
        path="/v1/metrics/summary",
        reads=read_document,
        query={"job_id": job_id},
        is_repeatable=True,
    )


def health() -> Call[Health]:
    """Return whether RUNE answers; it needs no token."""
    return Call(method="GET", path="/healthz", reads=read_document, is_repeatable=True)


def request(
    method: str,
    path: str,
    *,
    json: object = None,
    params: Query | None = None,
    headers: Mapping[str, str] | None = None,
) -> Call[httpx.Response]:
    """Return the answer of any request, an error too. It has `status_code`, `headers`, `text` and `json()`.

    What reads, and what has an `Idempotency-Key`, is sent again where no answer comes.

    Raises
    ------
    NetworkError
        There is no answer.
    """
    sent = dict(headers or {})
    has_key = any(name.lower() == KEY_HEADER.lower() for name in sent)
    return Call(
        method=method.upper(),
        path=path if path.startswith("/") else f"/{path}",
        reads=read_raw,
        query=params or {},
        body=json,
        headers=sent,
        is_repeatable=method.upper() in _READING or has_key,
        is_raw=True,
    )
