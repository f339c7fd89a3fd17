"""All steps of all kinds of jobs."""

from collections.abc import Mapping

from rune.jobs.record import StepName
from rune.jobs.step import Step
from rune.llm.opener import OpenServer
from rune.net.addresses import AddressPolicy
from rune.tenants.settings import TenantSource
from rune.workflows.agent import AgenticAgent
from rune.workflows.benchmark.dependencies import BenchmarkDependencies
from rune.workflows.benchmark.steps import Benchmark
from rune.workflows.model_servers import Backends, ModelServerSteps
from rune.workflows.rental.dependencies import RentalDependencies
from rune.workflows.rental.lost_machine import make_rental_steps, replacing_lost_machine
from rune.workflows.tenant_access import heeding_tenant

TEARDOWN = frozenset({StepName.RECONCILE, StepName.RELEASE})
"""Steps that end what may bill; no setting of a tenant keeps them from running."""


def make_steps(
    open_server: OpenServer,
    tenants: TenantSource,
    policy: AddressPolicy,
    rental: RentalDependencies | None = None,
    *,
    measuring: BenchmarkDependencies,
) -> Mapping[StepName, Step]:
    """Return every step by its name; without `rental`, none of those that rent."""
    backends = Backends(open_server, rental.rental_store if rental else None, tenants)
    steps = {
        **ModelServerSteps(backends).steps,
        **Benchmark(backends, measuring).steps,
        **AgenticAgent(backends, tenants, policy).steps,
    }
    if rental is not None:
        steps = {name: replacing_lost_machine(step, rental) for name, step in steps.items()}
        steps |= make_rental_steps(rental)
    return {name: step if name in TEARDOWN else heeding_tenant(step, tenants) for name, step in steps.items()}
