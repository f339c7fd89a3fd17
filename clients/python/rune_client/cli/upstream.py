"""The names of RUNE's first command line (github.com/lpasquali/ai-benchmarks), with its options and variables.

Where its defaults would spend or mislead, these do what is safe and say so on stderr
(docs/command-line.md).
"""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from rune_client.cli import options
from rune_client.cli.exits import ExitCode
from rune_client.cli.invocation import Invocation, command, of
from rune_client.cli.models import show_catalog, show_models
from rune_client.cli.outcomes import UsageRefusedError
from rune_client.cli.submitting import Manner, Submitter
from rune_client.cli.words import WORKFLOWS

app = typer.Typer(rich_markup_mode=None)

TEMPLATE = "c166c11f035d3a97871a23bd32ca6aba"
QUESTION = "What is unhealthy in this Kubernetes cluster?"
MODEL = "llama3.1:8b"
WAIT_SECONDS = 3600.0
"""As long as that command line waits; then the job goes on (exit code 7)."""

Template = Annotated[str, typer.Option("--vastai-template", envvar="RUNE_VASTAI_TEMPLATE")]
MaxDph = Annotated[float, typer.Option("--vastai-max-dph", envvar="RUNE_VASTAI_MAX_DPH")]
MinDph = Annotated[
    float | None,
    typer.Option(
        "--vastai-min-dph",
        envvar="RUNE_VASTAI_MIN_DPH",
        help="Left out by default: it excludes what is cheaper.",
    ),
]
Reliability = Annotated[float, typer.Option("--vastai-reliability", envvar="RUNE_VASTAI_RELIABILITY")]
StopInstance = Annotated[
    bool,
    typer.Option("--vastai-stop-instance/--no-vastai-stop-instance", envvar="RUNE_VASTAI_STOP_INSTANCE"),
]
Question = Annotated[str, typer.Option("--question", "-q", envvar="RUNE_QUESTION")]
Model = Annotated[str, typer.Option("--model", "-m", envvar="RUNE_MODEL")]
BackendUrl = Annotated[str | None, typer.Option("--backend-url", envvar="RUNE_BACKEND_URL")]
Warmup = Annotated[bool, typer.Option("--backend-warmup/--no-backend-warmup", envvar="RUNE_BACKEND_WARMUP")]
WarmupTimeout = Annotated[
    int, typer.Option("--backend-warmup-timeout", min=1, envvar="RUNE_BACKEND_WARMUP_TIMEOUT")
]
Kubeconfig = Annotated[
    str | None,
    typer.Option(
        "--kubeconfig", envvar="RUNE_KUBECONFIG", help="Taken and not sent: the server cannot read it."
    ),
]


def vastai_terms(
    rune: Invocation, *, template: str, max_dph: float, min_dph: float | None, reliability: float, stop: bool
) -> dict[str, Any]:
    """Return the terms of a rental in the nested form, and say where they are other than that command line's."""
    if min_dph is None:
        rune.output.note(
            "--vastai-min-dph is left out (it was 2.3 by default), so that cheaper machines count too."
        )
    terms = {"template_hash": template, "max_dph": max_dph, "reliability": reliability, "stop_instance": stop}
    return {"vastai": terms if min_dph is None else {**terms, "min_dph": min_dph}}


def _submit(
    rune: Invocation,
    kind: str,
    body: dict[str, Any],
    *,
    is_yes: bool,
    kubeconfig: str | None,
    key: str | None,
) -> ExitCode:
    if kubeconfig is not None:
        rune.output.note("--kubeconfig is not sent: a path of this machine means nothing to the server.")
    manner = Manner(is_yes=is_yes, wait_seconds=WAIT_SECONDS, idempotency_key=key or None)
    return Submitter(rune.connection, rune.output).run(kind, body, manner)


@app.command("run-benchmark")
@command
def run_benchmark(
    ctx: typer.Context,
    vastai: options.Vastai = False,
    vastai_template: Template = TEMPLATE,
    vastai_max_dph: MaxDph = 3.0,
    vastai_min_dph: MinDph = None,
    vastai_reliability: Reliability = 0.99,
    vastai_stop_instance: StopInstance = True,
    backend_url: BackendUrl = None,
    question: Question = QUESTION,
    model: Model = MODEL,
    backend_warmup: Warmup = True,
    backend_warmup_timeout: WarmupTimeout = 90,
    kubeconfig: Kubeconfig = None,
    idempotency_key: options.IdempotencyKey = None,
    yes: options.Yes = False,
) -> ExitCode:
    """Run one question as a benchmark; the same as `bench run`."""
    rune = of(ctx)
    terms = (
        vastai_terms(
            rune,
            template=vastai_template,
            max_dph=vastai_max_dph,
            min_dph=vastai_min_dph,
            reliability=vastai_reliability,
            stop=vastai_stop_instance,
        )
        if vastai
        else None
    )
    body = {
        "provisioning": terms,
        "question": question,
        "model": model,
        **_server(backend_url),
        "backend_warmup": backend_warmup,
        "backend_warmup_timeout": backend_warmup_timeout,
        "attestation_required": False,
    }
    return _submit(rune, "benchmark", body, is_yes=yes, kubeconfig=kubeconfig, key=idempotency_key)


def _server(backend_url: str | None) -> dict[str, Any]:
    """Return the server as that command line sends it: always both fields, and the type `ollama`."""
    return {
        "backend_url": backend_url or None,
        "backend_type": os.environ.get("RUNE_BACKEND_TYPE") or "ollama",
    }


@app.command("run-agentic-agent")
@command
def run_agentic_agent(
    ctx: typer.Context,
    backend_url: BackendUrl = None,
    question: Question = QUESTION,
    model: Model = MODEL,
    backend_warmup: Warmup = True,
    backend_warmup_timeout: WarmupTimeout = 90,
    kubeconfig: Kubeconfig = None,
    idempotency_key: options.IdempotencyKey = None,
    yes: options.Yes = False,
) -> ExitCode:
    """Ask the agent holmes; the same as `agent run --agent holmes`."""
    body = {
        "question": question,
        "model": model,
        **_server(backend_url),
        "backend_warmup": backend_warmup,
        "backend_warmup_timeout": backend_warmup_timeout,
        "agent": os.environ.get("RUNE_AGENT") or "holmes",
    }
    return _submit(of(ctx), "agentic-agent", body, is_yes=yes, kubeconfig=kubeconfig, key=idempotency_key)


@app.command("run-llm-instance")
@command
def run_llm_instance(
    ctx: typer.Context,
    vastai: options.Vastai = False,
    vastai_template: Template = TEMPLATE,
    vastai_max_dph: MaxDph = 3.0,
    vastai_min_dph: MinDph = None,
    vastai_reliability: Reliability = 0.99,
    backend_url: BackendUrl = None,
    idempotency_key: options.IdempotencyKey = None,
    yes: options.Yes = False,
) -> ExitCode:
    """Rent a machine that stays, or check a server; the same as `instance run`."""
    rune = of(ctx)
    terms = (
        vastai_terms(
            rune,
            template=vastai_template,
            max_dph=vastai_max_dph,
            min_dph=vastai_min_dph,
            reliability=vastai_reliability,
            stop=False,
        )
        if vastai
        else None
    )
    body = {"provisioning": terms, **_server(backend_url)}
    return _submit(rune, "llm-instance", body, is_yes=yes, kubeconfig=None, key=idempotency_key)


@app.command("vastai-list-models")
@command
def vastai_list_models(ctx: typer.Context) -> ExitCode:
    """List the models that fit on rented machines; the same as `catalog`."""
    return show_catalog(of(ctx))


@app.command("ollama-list-models")
@command
def ollama_list_models(
    ctx: typer.Context,
    backend_url: Annotated[str, typer.Option("--backend-url", envvar="RUNE_BACKEND_URL")],
) -> ExitCode:
    """List the models of a server; the same as `models`."""
    return show_models(of(ctx), backend_url, None)


@app.command("execute")
@command
def execute(
    ctx: typer.Context,  # noqa: ARG001  # as every command has
    workflow: Annotated[str, typer.Argument(help=", ".join(WORKFLOWS))],
) -> ExitCode:
    """Run a workflow that variables describe, as the Kubernetes operator starts it in a pod.

    It is read as `run-benchmark`, `run-agentic-agent` or `run-llm-instance`, which take RUNE_MODEL, RUNE_QUESTION,
    RUNE_BACKEND_URL, RUNE_VASTAI and the like in place of options. RUNE_TENANT is taken as RUNE_API_TENANT.
    """
    raise UsageRefusedError(f"'{workflow}' is none of {', '.join(WORKFLOWS)}.")
