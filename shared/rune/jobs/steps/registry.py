"""All steps of all kinds of jobs."""

from collections.abc import Mapping

from rune.agents.settings import AgentSettings
from rune.jobs.record import StepName
from rune.jobs.step import Step
from rune.jobs.steps.agentic_agent import AgenticAgent
from rune.jobs.steps.benchmark import Benchmark
from rune.jobs.steps.servers import OpenServer, Servers
from rune.net.addresses import AddressPolicy


def make_steps(
    open_server: OpenServer, agents: AgentSettings, policy: AddressPolicy
) -> Mapping[StepName, Step]:
    """Return every step by its name."""
    return {
        **Servers(open_server).steps,
        **Benchmark(open_server).steps,
        **AgenticAgent(open_server, agents, policy).steps,
    }
