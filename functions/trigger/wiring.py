"""What both functions of the intakes work with."""

from collections.abc import Mapping

from rune.aws.wiring import Clients
from rune.clock import SystemClock
from rune.contracts.problems import Problem
from rune.contracts.workloads import most_concurrency
from rune.jobs.plan import Lane
from rune.jobs.store import JobStore
from rune.services.intake.orders import Orders
from rune.services.intake.ways import Way
from rune.services.jobs import JobService
from rune.tenants.networks import read_networks
from rune.tenants.reading import DocumentContext
from trigger.settings import TriggerSettings

LONGEST_REASON = 1000


class FailureQueues:
    """The failure queues of the ways in; the reason stands in the attributes of a message."""

    def __init__(self, clients: Clients, urls: Mapping[Way, str]) -> None:
        self._queues = clients.intake({way.value: url for way, url in urls.items()})

    def put(self, way: Way, body: str, problem: Problem) -> None:
        """Keep a message with the reason; raises StoreUnavailableError where the queue does not take it."""
        reasons = {"code": problem.code, "reason": problem.detail[:LONGEST_REASON], "way": way.value}
        self._queues.keep(way, body, reasons)


def make_orders(settings: TriggerSettings, clients: Clients, store: JobStore) -> Orders:
    """Return what submits jobs."""
    clock = SystemClock()
    policy = read_networks(settings.allowed_networks, settings.stage)
    queue = clients.step_queue(
        {Lane.MONEY: settings.money_queue_url, Lane.INFERENCE: settings.inference_queue_url}
    )
    context = DocumentContext(policy, settings.bedrock.region, settings.bedrock.is_allowed)
    return Orders(
        JobService(
            store,
            queue,
            clock,
            settings.limits,
            settings.running_jobs,
            budgets=clients.budget_store(settings.table),
        ),
        clients.tenants(settings.tenants_path, clock, context),
        policy,
        has_provider=settings.can_rent,
        most_concurrency=most_concurrency(settings.load_lane.process_count),
    )
