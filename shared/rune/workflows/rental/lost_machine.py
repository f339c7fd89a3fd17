"""The steps of a rental by name, and what other steps do when their rented machine is lost."""

from collections.abc import Mapping

from rune.errors import ModelServerError, RentalError
from rune.jobs.outcomes import Next, Outcome
from rune.jobs.record import StepName
from rune.jobs.step import Step, StepContext
from rune.jobs.transitions import MAX_FAILURES
from rune.rentals.blame import Blame, Phase, find_blame
from rune.rentals.paced_provider import ThrottledError
from rune.rentals.proof import find_loss
from rune.rentals.record import EndReason
from rune.workflows.graph import Fact, step_after
from rune.workflows.rental.boot import BootStep
from rune.workflows.rental.dependencies import (
    RentalDependencies,
    leave_and_rent_again,
    leave_for_its_model,
    retrying_provider_errors,
)
from rune.workflows.rental.pull import PullStep
from rune.workflows.rental.release import ReleaseStep
from rune.workflows.rental.rent import RentStep


def make_rental_steps(dependencies: RentalDependencies) -> Mapping[StepName, Step]:
    """Return every step that deals with the machine itself."""
    rent, release = RentStep(dependencies), ReleaseStep(dependencies)
    return {
        StepName.RENT: rent.rent,
        StepName.RECONCILE: retrying_provider_errors(rent.reconcile),
        StepName.BOOT: retrying_provider_errors(BootStep(dependencies).boot),
        StepName.PULL: PullStep(dependencies).pull,
        StepName.GIVE_BACK: release.give_back,
        StepName.RELEASE: release.release,
    }


def replacing_lost_machine(step: Step, dependencies: RentalDependencies) -> Step:
    """Return a step that goes on to another machine where its server fails for the machine's sake.

    That is where the machine is gone, or where it cannot load the model.

    Interruptible machines are outbid, hosts crash, and an account without credit is stopped. All of that looks like
    a server that does not answer; only the provider's listing shows the difference.
    """

    async def run(context: StepContext) -> Outcome:
        try:
            return await step(context)
        except ModelServerError as error:
            if not context.job.rents:
                raise
            replaced = await _replace_if_lost(context, dependencies)
            replaced = replaced or _replace_if_it_cannot_load(context, dependencies, error)
            if replaced is None:
                raise
            return replaced

    return run


async def _replace_if_lost(context: StepContext, dependencies: RentalDependencies) -> Outcome | None:
    rental = dependencies.find_rental(context.job)
    if rental is None:
        # The janitor was faster: the machine is proven gone already.
        return Next(step_after(context, Fact.NO_MACHINE), error_type=EndReason.MACHINE_LOST.value)
    try:
        listing = await dependencies.provider.look_for(rental)
    except (ThrottledError, RentalError):
        return None
    loss = find_loss(rental, listing)
    if loss is None:
        return None
    return leave_and_rent_again(context, dependencies, rental, EndReason.MACHINE_LOST, loss)


def _replace_if_it_cannot_load(
    context: StepContext, dependencies: RentalDependencies, error: ModelServerError
) -> Outcome | None:
    job = context.job
    if job.step is not StepName.WARM_UP or (error.retryable and job.failures + 1 < MAX_FAILURES):
        return None
    rental = dependencies.find_rental(job)
    if rental is None:
        return None
    if find_blame(error, Phase.LOAD, is_only_here=rental.is_borrowed) is Blame.REQUEST:
        return None
    return leave_for_its_model(context, dependencies, rental, error)
