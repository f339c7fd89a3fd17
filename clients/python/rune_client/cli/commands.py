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
    panel
        The heading under which it stands.
    is_group
        Whether another word follows.
    """

    name: str
    module: str
    summary: str
    panel: str
    is_group: bool = False


_JOBS = "Run jobs"
_LOOK = "Look and manage"
_SETUP = "Set up"
_UPSTREAM = "Names of RUNE's first command line"

ENTRIES = (
    Entry("bench", "bench", "Run benchmarks, show and compare what they measured.", _JOBS, is_group=True),
    Entry("agent", "agent", "Ask an agent; list the agents.", _JOBS, is_group=True),
    Entry(
        "instance", "instance", "Rent a machine with a model on it, or check a server.", _JOBS, is_group=True
    ),
    Entry("estimate", "estimate", "Say what a run would cost. Nothing is rented.", _JOBS),
    Entry("jobs", "jobs", "List, show, follow and cancel jobs.", _LOOK, is_group=True),
    Entry("rentals", "rentals", "List, extend and stop rented machines.", _LOOK, is_group=True),
    Entry("models", "models", "List the models of a server.", _LOOK),
    Entry("catalog", "models", "List the models that fit on rented machines.", _LOOK),
    Entry("usage", "usage", "Show what jobs have used, and what is left of the budgets.", _LOOK),
    Entry("schedule", "schedule", "Post a job again and again.", _LOOK, is_group=True),
    Entry("webhook", "webhook", "Be told of events.", _LOOK, is_group=True),
    Entry("stop-all", "stop_all", "Cancel all of your tenant's jobs and give all machines back.", _LOOK),
    Entry("login", "login", "Keep an address and a token.", _SETUP),
    Entry("profile", "profile", "List, show and choose kept addresses.", _SETUP, is_group=True),
    Entry("doctor", "doctor", "Say what is reachable, as whom, and in which version.", _SETUP),
    Entry("api", "api", "Send a request of your own.", _SETUP),
    Entry("completion", "completion", "Print the completion of a shell.", _SETUP),
    Entry("run-benchmark", "upstream", "As `bench run`.", _UPSTREAM),
    Entry("run-agentic-agent", "upstream", "As `agent run`, with the agent holmes.", _UPSTREAM),
    Entry("run-llm-instance", "upstream", "As `instance run`.", _UPSTREAM),
    Entry("vastai-list-models", "upstream", "As `catalog`.", _UPSTREAM),
    Entry("ollama-list-models", "upstream", "As `models`.", _UPSTREAM),
    Entry("execute", "upstream", "Run a workflow that RUNE_* variables describe.", _UPSTREAM),
)
