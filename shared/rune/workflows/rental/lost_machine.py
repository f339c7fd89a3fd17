"""The steps of renting, by name, and what other steps do on a rented machine."""

from collections.abc import Mapping

from rune.errors import ModelServerError, RentalError
from rune.jobs.outcomes import Next, Outcome
from rune.jobs.record import StepName
from rune.jobs.step import Step, StepContext
from rune.rentals.instance import describe_state, has_stopped
from rune.rentals.paced_provider import ThrottledError
from rune.rentals.record import EndReason
from rune.workflows.graph import step_after
from rune.workflows.rental.boot import BootStep
from rune.workflows.rental.dependencies import RentalDependencies, another, fact_of, watching
from rune.workflows.rental.pull import PullStep
from rune.workflows.rental.release import ReleaseStep
from rune.workflows.rental.rent import Rent


def make_rental_steps(dependencies: RentalDependencies) -> Mapping[StepName, Step]:
    """Return every step that deals with the machine itself."""
    rent = Rent(dependencies)
    return {
        StepName.RENT: rent.rent,
        StepName.RECONCILE: watching(rent.reconcile),
        StepName.BOOT: watching(BootStep(dependencies).boot),
        StepName.PULL: PullStep(dependencies).pull,
        StepName.RELEASE: ReleaseStep(dependencies).release,
    }


def replacing_lost_machine(step: Step, dependencies: RentalDependencies) -> Step:
    """Return a step that goes on to another machine where its server fails because the machine is gone.

    Spot machines are outbid, hosts crash, and an account without credit is stopped: all of that looks like a
    server that does not answer. Only the provider's listing tells the difference.
    """

    async def run(context: StepContext) -> Outcome:
        try:
            return await step(context)
        except ModelServerError:
            if not context.job.rents:
                raise
            moved_on = await _move_on_if_lost(context)
            if moved_on is None:
                raise
            return moved_on

    async def _move_on_if_lost(context: StepContext) -> Outcome | None:
        held = dependencies.find_rental(context.job)
        if held is None:
            # The janitor was faster: it is proven gone already.
            return Next(step_after(context, fact_of(held)), error_type=EndReason.MACHINE_LOST.value)
        try:
            listing = await dependencies.provider.list_instances()
        except (ThrottledError, RentalError):
            return None
        instance = listing.find(held)
        if instance is not None and not has_stopped(instance):
            return None
        detail = "not listed any more" if instance is None else describe_state(instance)
        dependencies.give_up(held, EndReason.MACHINE_LOST, detail)
        return another(context, EndReason.MACHINE_LOST, detail, dependencies.spending(context.job, held))

    return run
