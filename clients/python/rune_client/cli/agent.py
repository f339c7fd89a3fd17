"""`rune agent`: ask an agent."""

from __future__ import annotations

from typing import Annotated

import typer

from rune_client.cli import options
from rune_client.cli.exits import ExitCode
from rune_client.cli.invocation import command, of
from rune_client.cli.output import Columns
from rune_client.cli.submitting import Manner, Submitter

app = typer.Typer(rich_markup_mode=None)

AGENTS = (
    ("ask", "the question to the model, no tools; needs --backend-url"),
    ("holmes", "your tenant's HolmesGPT server"),
)
"""As docs/agents.md lists them: the API has no route for them."""


@app.command("run")
@command
def run(
    ctx: typer.Context,
    file: options.File = None,
    agent: Annotated[
        str | None, typer.Option(envvar="RUNE_AGENT", help="ask (the default) or holmes.")
    ] = None,
    question: options.Question = None,
    model: options.Model = None,
    backend_url: options.BackendUrl = None,
    backend_type: options.BackendType = None,
    backend_credential: options.BackendCredential = None,
    backend_warmup: options.Warmup = None,
    backend_warmup_timeout: options.WarmupTimeout = None,
    name: options.Name = None,
    metadata: options.Metadata = None,
    timeout_seconds: options.AnswerTimeout = None,
    max_runtime_seconds: options.MaxRuntime = None,
    queue_timeout_seconds: options.QueueTimeout = None,
    yes: options.Yes = False,
    plan: options.Plan = False,
    new: options.New = False,
    idempotency_key: options.IdempotencyKey = None,
    detach: options.Detach = False,
    wait: options.Wait = None,
) -> ExitCode:
    """Ask an agent, and show its answer."""
    body = options.changed(
        options.read_file(file),
        agent=agent,
        question=question,
        model=model,
        backend_url=backend_url,
        backend_type=backend_type,
        backend_credential=backend_credential,
        backend_warmup=backend_warmup,
        backend_warmup_timeout=backend_warmup_timeout,
        name=name,
        metadata=options.pairs(metadata, "--metadata"),
        timeout_seconds=timeout_seconds,
        max_runtime_seconds=max_runtime_seconds,
        queue_timeout_seconds=queue_timeout_seconds,
    )
    rune = of(ctx)
    manner = Manner(
        is_yes=yes,
        is_plan=plan,
        is_new=new,
        is_detached=detach,
        wait_seconds=wait,
        idempotency_key=idempotency_key,
    )
    return Submitter(rune.connection, rune.output).run("agentic-agent", body, manner)


@app.command("list")
@command
def list_agents(ctx: typer.Context) -> ExitCode:
    """List the agents."""
    rune = of(ctx)
    table = Columns("agent", "what it is")
    for name, what in AGENTS:
        table.add(name, what)
    return rune.answer(
        {"agents": [{"name": name, "description": what} for name, what in AGENTS]},
        table.table(rune.output.answers.width),
    )
