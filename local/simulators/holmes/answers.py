"""The simulated answers: made up and countable. A token is a word."""

from typing import Any

from local.simulators.holmes.state import HolmesSettings

SYSTEM_PROMPT = "You look into clusters with tools and report what you found."
TOOL_DEFINITION_TOKENS = 7
"""Tokens of one tool's description."""

CALL_TOKENS = 3
"""Tokens that the model writes to call a tool; each call of the model reads the whole prompt."""

type Json = dict[str, Any]


def resolve_model(settings: HolmesSettings, model: str | None) -> str:
    """Return the model that answers; as in the real server, for an unknown name it is the first."""
    return model if model in settings.models else settings.models[0]


def write_answer(settings: HolmesSettings, ask: str, model: str | None, history: list[Json]) -> Json:
    """Return the answer to a question."""
    tool_calls = [_tool_call(number, name) for number, name in enumerate(settings.tools)]
    analysis = (
        f"Simulated analysis by {resolve_model(settings, model)}: a question of {len(ask.split())} words,"
        f" {len(tool_calls)} tools used, nothing unhealthy found."
    )
    opening = history or [{"role": "system", "content": SYSTEM_PROMPT}]
    messages = [
        *opening,
        {"role": "user", "content": ask},
        *(
            {"role": "tool", "tool_call_id": call["tool_call_id"], "content": call["result"]["data"]}
            for call in tool_calls
        ),
        {"role": "assistant", "content": analysis},
    ]
    return {
        "analysis": analysis,
        "conversation_history": messages,
        "tool_calls": tool_calls,
        "follow_up_actions": [] if history else [_follow_up("logs", "Logs"), _follow_up("graphs", "Graphs")],
        "pending_approvals": None,
        "metadata": _metadata(settings, messages),
    }


def write_events(answer: Json) -> list[tuple[str, Json]]:
    """Return an answer as the events of a stream, which ends with all of it but its tool calls."""
    metadata = answer["metadata"]
    events: list[tuple[str, Json]] = []
    for call in answer["tool_calls"]:
        events += [
            (
                "ai_message",
                {"content": None, "reasoning": f"Looking at {call['tool_name']}.", "metadata": metadata},
            ),
            ("start_tool_calling", {"tool_name": call["tool_name"], "id": call["tool_call_id"]}),
            ("tool_calling_result", {name: call[name] for name in _TOLD_OF_TOOLS}),
            ("token_count", {"metadata": metadata}),
        ]
    end = {name: value for name, value in answer.items() if name not in {"tool_calls", "pending_approvals"}}
    return [*events, ("ai_answer_end", end)]


_TOLD_OF_TOOLS = ("tool_call_id", "tool_name", "description", "result")


def _metadata(settings: HolmesSettings, messages: list[Json]) -> Json:
    if not settings.reports_tokens:
        return {}
    counted = _count_tokens(settings, messages)
    if not settings.reports_costs:
        return counted
    usage, calls = counted["usage"], len(settings.tools) + 1
    written = usage["completion_tokens"] + CALL_TOKENS * (calls - 1)
    prompts = usage["prompt_tokens"] * calls
    costs = {
        "total_cost": 0.0,
        "prompt_tokens": prompts,
        "completion_tokens": written,
        "total_tokens": prompts + written,
        "cached_tokens": 0,
        "reasoning_tokens": 0,
        "num_compactions": 0,
    }
    return {**counted, "costs": costs}


def _tool_call(number: int, name: str) -> Json:
    data = f"simulated output of {name}"
    return {
        "tool_call_id": f"call_{number}",
        "tool_name": name,
        "description": f"{name} pod demo -n default",
        "result": {
            "schema_version": "robusta:v1.0.0",
            "status": "success",
            "error": None,
            "return_code": 0,
            "data": data,
            "url": None,
            "invocation": f"{name} demo",
            "params": {"name": "demo"},
            "icon_url": None,
        },
        "size": len(data),
    }


def _follow_up(action: str, label: str) -> Json:
    return {
        "id": action,
        "action_label": label,
        "pre_action_notification_text": f"Simulated search for {action}...",
        "prompt": f"Show the {action}",
    }


def _count_tokens(settings: HolmesSettings, messages: list[Json]) -> Json:
    by_role = {"system": 0, "user": 0, "tool": 0, "assistant": 0}
    for message in messages:
        by_role[message["role"]] += len(str(message["content"]).split())
    definitions = TOOL_DEFINITION_TOKENS * len(settings.tools)
    written = len(messages[-1]["content"].split())
    total = sum(by_role.values()) + definitions
    return {
        "usage": {"prompt_tokens": total - written, "completion_tokens": written, "total_tokens": total},
        "tokens": {
            "total_tokens": total,
            "tools_tokens": by_role["tool"],
            "system_tokens": by_role["system"],
            "user_tokens": by_role["user"],
            "tools_to_call_tokens": definitions,
            "assistant_tokens": by_role["assistant"],
            "other_tokens": 0,
        },
        "max_tokens": 128_000,
        "max_output_tokens": 16_384,
    }
