"""The commands of `rune`: their names, what each does in a line, and the module that has it.

A module is loaded when its command is called. Help and completion of the first word need none of them.
"""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    """A command, or a group of commands.

    Attributes
    ----------
    name
        The first word after `rune`.
    module
        In `rune_client.cli`. It has `app`, a Typer application; a group's has the group's commands, another's one
        command of this name.
    summary
        What `rune --help` says of it.
    is_group
        Whether another word follows.
    """

    name: str
    module: str
    summary: str
    is_group: bool = False


ENTRIES = (
    Entry("bench", "bench", "Run benchmarks, show and compare what they measured.", is_group=True),
    Entry("agent", "agent", "Ask an agent; list the agents.", is_group=True),
    Entry("instance", "instance", "Rent a machine with a model on it, or check a server.", is_group=True),
    Entry("estimate", "estimate", "Say what a run would cost. Nothing is rented."),
    Entry("jobs", "jobs", "List, show, follow and cancel jobs.", is_group=True),
    Entry("rentals", "rentals", "List, extend and stop rented machines.", is_group=True),
    Entry("models", "models", "List the models of a server."),
    Entry("catalog", "models", "List the models that fit on rented machines."),
    Entry("usage", "usage", "Show what jobs have used, and what is left of the budgets."),
    Entry("schedule", "schedule", "Post a job again and again.", is_group=True),
    Entry("webhook", "webhook", "Be told of events.", is_group=True),
    Entry("stop-all", "stop_all", "Cancel all of your tenant's jobs and give all machines back."),
    Entry("login", "login", "Keep an address and a token."),
    Entry("profile", "profile", "List, show and choose kept addresses.", is_group=True),
    Entry("doctor", "doctor", "Say what is reachable, as whom, and in which version."),
    Entry("api", "api", "Send a request of your own."),
    Entry("mcp", "mcp", "Serve other people's agents over MCP."),
    Entry("completion", "completion", "Print the completion of a shell."),
    Entry("run-benchmark", "upstream", "As `bench run`."),
    Entry("run-agentic-agent", "upstream", "As `agent run`, with the agent holmes."),
    Entry("run-llm-instance", "upstream", "As `instance run`."),
    Entry("vastai-list-models", "upstream", "As `catalog`."),
    Entry("ollama-list-models", "upstream", "As `models`."),
    Entry("execute", "upstream", "Run a workflow that RUNE_* variables describe."),
)
