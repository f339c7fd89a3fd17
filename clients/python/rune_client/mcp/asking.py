"""The question that a person is asked before money, where the agent's host can show one."""

# No `from __future__ import annotations`: the SDK reads that of `run_job`, which names a local function.

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from mcp.server.elicitation import AcceptedElicitation, CancelledElicitation, ElicitationResult
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.resolve import Elicit, Resolve
from pydantic import BaseModel, Field

from rune_client.cli.amounts import dollars
from rune_client.cli.plans import cost_of, machine_of
from rune_client.errors import RuneError
from rune_client.mcp.spending import Plan, Plans

_LONGEST_QUESTION_CHARS = 300


class Agreement(BaseModel):
    """What a person answers. It is sent only where the box was ticked."""

    run_it: bool = Field(title="Run it", description="Run this job. It may cost up to the cap.")


def asking_run_job(
    plans: Plans, post: Callable[[Plan], Awaitable[dict[str, Any]]]
) -> Callable[..., Awaitable[dict[str, Any]]]:
    """Return the tool `run_job`, which asks a person first where the host can."""

    async def ask(
        confirmation_token: str, max_cost_usd: float, context: Context[Any, Any]
    ) -> Agreement | Elicit[Agreement]:
        try:
            plan = plans.of_token(confirmation_token, max_cost_usd)
        except RuneError as error:
            raise ToolError(str(error)) from None
        if plan.is_confirmed or not can_ask(context):
            # It was asked before, and is posted again under its key; or the agent was told to ask.
            return Agreement(run_it=True)
        return Elicit(question_of(plan), Agreement)

    async def run_job(
        confirmation_token: str,
        max_cost_usd: float,
        answer: Annotated[ElicitationResult[Agreement], Resolve(ask)],
    ) -> dict[str, Any]:
        """Make the job of a plan. It may cost up to max_cost_usd. Only after the user has agreed to the plan.

        Both arguments are those of plan_job. The same token again is the same job, and not a second one. Where the
        host can show a question, the user is asked once more.
        """
        plan = plans.of_token(confirmation_token, max_cost_usd)
        if isinstance(answer, AcceptedElicitation) and answer.data.run_it:
            return await post(plan)
        if isinstance(answer, CancelledElicitation):
            raise ToolError("The user closed the question without an answer. Nothing was sent.")
        plans.drop(plan)
        raise ToolError(
            "The user does not want this job. Nothing was sent, and the plan is gone. Do not plan it again."
        )

    return run_job


def can_ask(context: Context[Any, Any]) -> bool:
    """Return whether the host can show a form. An empty capability is one for forms, as the specification says."""
    capabilities = context.client_capabilities
    elicitation = capabilities.elicitation if capabilities is not None else None
    return elicitation is not None and (elicitation.form is not None or elicitation.url is None)


def question_of(plan: Plan) -> str:
    """Return what a person is asked: what is run, where, and for how much."""
    estimate = plan.shown.get("estimate") or {}
    model, question = plan.request.get("model"), str(plan.request.get("question") or "")
    lines = [
        f"Run this {plan.kind}" + (f" of {model}" if model else "") + "?",
        f"It may cost up to {dollars(plan.max_cost_usd)}; there it stops.",
        f"Machine: {machine_of(estimate)}" if plan.shown.get("rents") else "No machine is rented.",
        f"Estimate: {cost_of(estimate)}" if estimate else "",
        f"Server: {plan.request['backend_url']}" if plan.request.get("backend_url") else "",
        f"Question: {question[:_LONGEST_QUESTION_CHARS]}{'…' * (len(question) > _LONGEST_QUESTION_CHARS)}"
        if question
        else "",
    ]
    return "\n".join(line for line in lines if line)
