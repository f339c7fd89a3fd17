"""All mutants."""

from tests.mutants.of_aws import MUTANTS as OF_AWS
from tests.mutants.of_budgets import MUTANTS as OF_BUDGETS
from tests.mutants.of_client import MUTANTS as OF_CLIENT
from tests.mutants.of_comparisons import MUTANTS as OF_COMPARISONS
from tests.mutants.of_edge import MUTANTS as OF_EDGE
from tests.mutants.of_events import MUTANTS as OF_EVENTS
from tests.mutants.of_following import MUTANTS as OF_FOLLOWING
from tests.mutants.of_intake import MUTANTS as OF_INTAKE
from tests.mutants.of_jobs import MUTANTS as OF_JOBS
from tests.mutants.of_rentals import MUTANTS as OF_RENTALS
from tests.mutants.of_renting import MUTANTS as OF_RENTING
from tests.mutants.of_schedules import MUTANTS as OF_SCHEDULES
from tests.mutants.of_services import MUTANTS as OF_SERVICES
from tests.mutants.of_webhooks import MUTANTS as OF_WEBHOOKS

MUTANTS = (
    *OF_JOBS,
    *OF_SERVICES,
    *OF_AWS,
    *OF_RENTALS,
    *OF_RENTING,
    *OF_BUDGETS,
    *OF_EDGE,
    *OF_EVENTS,
    *OF_FOLLOWING,
    *OF_INTAKE,
    *OF_SCHEDULES,
    *OF_WEBHOOKS,
    *OF_COMPARISONS,
    *OF_CLIENT,
)
