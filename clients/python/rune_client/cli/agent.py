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


@app.command("run")
@command
def run(
    ctx: typer.Context,
    file: options.File = None,
    agent: Annotated[
        str | None, typer.Option(envvar="RUNE_AGENT", help="Which one; `rune agent list` lists them.")
    ] = None,
    cluster: Annotated[
        str | None, typer.Option(help="A cluster of your tenant's, which the agent kubernetes investigates.")
    ] = None,
    max_turns: Annotated[int | None, typer.Option(help="Calls of the model.")] = None,
    max_tool_calls: Annotated[int | None, typer.Option(help="Calls of tools.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Tokens in and out, all turns together.")] = None,
    max_cost: options.MaxCost = None,
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
        cluster=cluster,
        max_turns=max_turns,
        max_tool_calls=max_tool_calls,
        max_tokens=max_tokens,
        max_cost_usd=max_cost,
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
    """List the agents, and what each needs."""
    rune = of(ctx)
    found = rune.connection.client.agents()
    table = Columns("agent", "usable", "what it is", is_last_text=True)
    for each in found["agents"]:
        usable = "yes" if each["is_available"] else "no"
        table.add(each["name"], usable, each["hint"] or each["description"])
    return rune.answer(found, table.table(rune.output.answers.width))
