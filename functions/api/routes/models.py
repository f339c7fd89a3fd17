"""Models that fit on rented GPUs, and models that a server offers."""

import asyncio
from decimal import ROUND_CEILING, Decimal
from typing import Annotated

from fastapi import APIRouter, Query, Request

from api.auth import admitted_caller_of, tenant_settings_of
from api.deprecation import deprecated_alias_of
from api.problems import responses
from api.queries import StrictRoute
from api.services import services_of
from rune.agents.protocol import AgentKind, Need
from rune.contracts import BackendChoice, BackendType, Catalog, CatalogModel, ServerModels
from rune.contracts.models import AgentCatalog, CatalogAgent
from rune.contracts.models import SeenPrice as SeenPriceDocument
from rune.contracts.requests import DEFAULT_AGENT
from rune.errors import ServerAccessError, ServerTimeoutError
from rune.llm.protocol import ModelServer
from rune.money.catalog import CATALOG_ROWS, CatalogRow
from rune.services.catalog_prices import SeenPrice, find_cheapest
from rune.tenants.backends import api_key_for, check_backend
from rune.tenants.settings import TenantSettings

LONGEST_WAIT_SECONDS = 10
"""Less than the function's own 25 s (template.yaml), so that the caller gets an error with its reason."""

NO_CLUSTER_HINT = "No cluster is set up for this tenant: the operator adds one (`rune_admin cluster put`)."

_STEP_USD = Decimal("0.0001")

router = APIRouter(route_class=StrictRoute, tags=["models"], responses=responses(401, 403, 422, 503))

BackendUrl = Annotated[
    str | None,
    Query(
        max_length=2048,
        description="Address of the model server; Amazon Bedrock needs none, and is then the deployment's region.",
    ),
]
OldBackendUrl = Annotated[
    str | None,
    Query(max_length=2048, deprecated=True, description="The old name of `backend_url`, which counts more."),
]
BackendKind = Annotated[BackendType, Query(description="Kind of the server.")]
BackendCredential = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=64,
        description="Name of your tenant's credential for the server, if it needs one.",
    ),
]


@router.get("/v1/catalog/vastai-models")
async def list_vastai_models(request: Request) -> Catalog:
    """Return the models that RUNE knows to fit on rented GPUs, with the price at which each was last seen."""
    admitted_caller_of(request)
    seen = services_of(request).market()
    return Catalog(models=[_describe(row, find_cheapest(seen, row.sized())) for row in CATALOG_ROWS])


@router.get("/v1/catalog/agents")
async def list_agents(request: Request) -> AgentCatalog:
    """Return the agents that RUNE has, what each needs, and whether your tenant has it."""
    admitted_caller_of(request)
    # Imported here, with its HTTP client: the other routes do without.
    from rune.agents.registry import all_agents  # noqa: PLC0415

    settings = tenant_settings_of(request)
    return AgentCatalog(agents=[_describe_agent(kind, _missing_of(kind, settings)) for kind in all_agents()])


@router.get("/v1/llm/models", responses=responses(502))
async def list_llm_models(
    request: Request,
    backend_url: BackendUrl = None,
    backend_type: BackendKind = "ollama",
    backend_credential: BackendCredential = None,
) -> ServerModels:
    """Return the models that a model server offers; of Amazon Bedrock, only those that your tenant may use."""
    services, tenant = services_of(request), admitted_caller_of(request).tenant
    backends = tenant_settings_of(request).backends
    choice = BackendChoice(
        backend_url=backend_url, backend_type=backend_type, backend_credential=backend_credential
    )
    url, api_key = check_backend(backends, choice, services.address_policy), api_key_for(backends, choice)
    try:
        async with asyncio.timeout(LONGEST_WAIT_SECONDS):
            try:
                models, running = await _list(services.open_server(backend_type, url, api_key))
            except ServerAccessError:
                fresh = (
                    None if api_key is None else api_key_for(services.tenants.reread(tenant).backends, choice)
                )
                if fresh == api_key:
                    raise
                models, running = await _list(services.open_server(backend_type, url, fresh))
    except TimeoutError:
        raise ServerTimeoutError(
            f"The server did not answer within {LONGEST_WAIT_SECONDS} seconds."
        ) from None
    if backend_type == "bedrock" and backends.bedrock is not None:
        models = tuple(model for model in models if backends.bedrock.allows_model(model))
    return ServerModels(
        backend_url=url, backend_type=backend_type, models=list(models), running_models=list(running)
    )


@router.get(
    "/v1/ollama/models",
    deprecated=True,
    dependencies=[deprecated_alias_of("/v1/llm/models")],
    responses=responses(502),
)
async def list_ollama_models(
    request: Request,
    backend_url: BackendUrl = None,
    backend_type: BackendKind = "ollama",
    backend_credential: BackendCredential = None,
    ollama_url: OldBackendUrl = None,
) -> ServerModels:
    """Return the same as `/v1/llm/models`, of which this is the deprecated name."""
    return await list_llm_models(request, backend_url or ollama_url, backend_type, backend_credential)


def _describe(row: CatalogRow, seen: SeenPrice | None) -> CatalogModel:
    return CatalogModel(
        name=row.name,
        vram_mb=row.vram_mb,
        required_disk_gb=row.disk_gb,
        parameters_billions=row.parameters_billions,
        quantisation=row.quantisation,
        context_tokens=row.context_tokens,
        weights_gb=row.weights_gb,
        licence=row.licence,
        note=row.note,
        last_seen=None if seen is None else _describe_price(seen),
    )


def _describe_price(seen: SeenPrice) -> SeenPriceDocument:
    return SeenPriceDocument(
        usd_per_hour=float(seen.usd_per_hour.quantize(_STEP_USD, ROUND_CEILING)),
        gpu=seen.offer.gpu_name,
        gpu_count=seen.offer.gpu_count,
        as_of=seen.as_of,
    )


def _missing_of(kind: AgentKind, settings: TenantSettings) -> str | None:
    if kind.needs_cluster and not settings.clusters:
        return NO_CLUSTER_HINT
    return kind.missing_setting(settings.agents)


def _describe_agent(kind: AgentKind, hint: str | None) -> CatalogAgent:
    return CatalogAgent(
        name=kind.name,
        description=kind.description,
        needs=[need.value for need in Need if need in kind.needs],
        is_available=hint is None,
        hint=hint,
        is_default=kind.name == DEFAULT_AGENT,
        streams_progress=kind.streams_progress,
        works_in_turns=kind.asks_often or kind.works_elsewhere,
    )


async def _list(server: ModelServer) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what a server offers and what it has loaded, and close it."""
    try:
        return await server.list_models(), await server.list_running()
    finally:
        await server.aclose()
