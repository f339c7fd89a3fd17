"""All steps of all kinds of jobs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING

from rune.jobs.record import RELEASING, StepName
from rune.jobs.step import Step
from rune.workflows.benchmark.steps import Benchmark
from rune.workflows.model_servers import Backends, ModelServerSteps
from rune.workflows.tenant_access import heeding_tenant

if TYPE_CHECKING:
    from rune.jobs.outcomes import Outcome
    from rune.jobs.step import StepContext
    from rune.kubernetes.source import ClusterSource
    from rune.llm.opener import OpenServer
    from rune.net.addresses import AddressPolicy
    from rune.tenants.settings import TenantSource
    from rune.workflows.benchmark.dependencies import BenchmarkDependencies
    from rune.workflows.rental.dependencies import RentalDependencies

TEARDOWN = RELEASING | {StepName.RECONCILE}
"""Steps that end what may bill; no setting of a tenant keeps them from running."""


def make_steps(
    open_server: OpenServer,
    tenants: TenantSource,
    policy: AddressPolicy,
    rental: RentalDependencies | None = None,
    *,
    measuring: BenchmarkDependencies,
    load_rental: Callable[[], RentalDependencies] | None = None,
    clusters: ClusterSource | None = None,
) -> Mapping[StepName, Step]:
    """Return every step by its name.

    Parameters
    ----------
    rental
        What renting needs; None for a deployment without an account.
    load_rental
        The same for jobs that were accepted while such a deployment still had its account: it is called with the
        first turn of one.
    clusters
        Credentials of tenants' clusters; None for a deployment that keeps none.
    """
    backends = Backends(open_server, rental.rental_store if rental else None, tenants)

    def load_agent() -> Mapping[StepName, Step]:
        from rune.workflows.agent import AgenticAgent  # noqa: PLC0415

        return AgenticAgent(
            backends, tenants, policy, measuring.clock, measuring.records, clusters=clusters
        ).steps

    steps = {
        **ModelServerSteps(backends).steps,
        **Benchmark(backends, measuring).steps,
        **_loaded_with_first_turn(load_agent, StepName.CHECK_AGENT, StepName.RUN_AGENT),
    }
    if rental is not None:
        from rune.workflows.rental.lost_machine import (  # noqa: PLC0415  # only where there is an account
            make_rental_steps,
            replacing_lost_machine,
        )

        steps = {name: replacing_lost_machine(step, rental) for name, step in steps.items()}
        steps |= make_rental_steps(rental)
    elif load_rental is not None:
        steps |= _rental_steps_without_account(load_rental)
    return {name: step if name in TEARDOWN else heeding_tenant(step, tenants) for name, step in steps.items()}


def _rental_steps_without_account(load_rental: Callable[[], RentalDependencies]) -> dict[StepName, Step]:
    """Return the steps of renting where every call of the provider fails, because there is no key.

    A job that holds no machine ends by way of them. One whose machine may still be alive waits in `release`, since
    nothing can prove the machine gone.
    """

    def load() -> Mapping[StepName, Step]:
        from rune.workflows.rental.lost_machine import make_rental_steps  # noqa: PLC0415

        return make_rental_steps(load_rental())

    names = (StepName.RENT, StepName.RECONCILE, StepName.BOOT, StepName.PULL)
    return _loaded_with_first_turn(load, *names, *sorted(RELEASING))


def _loaded_with_first_turn(
    load: Callable[[], Mapping[StepName, Step]], *names: StepName
) -> dict[StepName, Step]:
    """Return steps whose module is imported with the first turn of one of them."""
    load_once = cache(load)

    def make(name: StepName) -> Step:
        async def run(context: StepContext) -> Outcome:
            return await load_once()[name](context)

        return run

    return {name: make(name) for name in names}
