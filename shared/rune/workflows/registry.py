"""All steps of all kinds of jobs."""

from collections.abc import Mapping

from rune.agents.settings import AgentSettings
from rune.jobs.record import StepName
from rune.jobs.step import Step
from rune.llm.opener import OpenServer
from rune.net.addresses import AddressPolicy
from rune.tenants.backends import BackendSettings
from rune.workflows.agent import AgenticAgent
from rune.workflows.benchmark.dependencies import MeasuringTools
from rune.workflows.benchmark.steps import Benchmark
from rune.workflows.model_servers import Backends, ModelServerSteps
from rune.workflows.rental.dependencies import RentalDependencies
from rune.workflows.rental.lost_machine import make_rental_steps, replacing_lost_machine


def make_steps(
    open_server: OpenServer,
    agents: AgentSettings,
    policy: AddressPolicy,
    rental: RentalDependencies | None = None,
    settings: BackendSettings | None = None,
    *,
    measuring: MeasuringTools,
) -> Mapping[StepName, Step]:
    """Return every step by its name; without `rental`, none of those that rent.

    Parameters
    ----------
    settings
        What each tenant may use of the operator's servers and credentials; None is nothing.
    """
    backends = Backends(open_server, rental.rental_store if rental else None, settings)
    working = {
        **ModelServerSteps(backends).steps,
        **Benchmark(backends, measuring).steps,
        **AgenticAgent(backends, agents, policy).steps,
    }
    if rental is None:
        return working
    guarded = {name: replacing_lost_machine(step, rental) for name, step in working.items()}
    return {**guarded, **make_rental_steps(rental)}
