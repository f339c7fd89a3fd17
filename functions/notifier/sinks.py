"""Who gets the events: one line for each way out. A way whose setting is absent is left out."""

from collections.abc import Iterator

from notifier.settings import NotifierSettings
from rune.aws.wiring import Clients
from rune.clock import Clock
from rune.events.sink import Sink


def make_sinks(clients: Clients, settings: NotifierSettings, clock: Clock) -> tuple[Sink, ...]:
    """Return the deployment's sinks. They are served in this order, and do not wait for each other's success."""
    return tuple(_sinks(clients, settings, clock))


def _sinks(clients: Clients, settings: NotifierSettings, clock: Clock) -> Iterator[Sink]:
    if settings.event_bus:
        yield clients.event_bus(settings.event_bus)
    if settings.signing_key_parameter:
        from rune.services.job_callbacks import JobCallbacks  # noqa: PLC0415  # as below
        from rune.services.webhook_queue import WebhookQueue, WebhookSink  # noqa: PLC0415

        notices = clients.notice_queue(settings.notice_queue_url)
        queue = WebhookQueue(clients.webhook_store(settings.table), notices, clock, settings.retention)
        yield WebhookSink(queue, JobCallbacks(clients.job_store(settings.table, bucket=None)).find)
    if settings.with_workflows:
        # Imported here: most deployments have none.
        from rune.services.workflow_answers import WorkflowAnswers  # noqa: PLC0415

        yield WorkflowAnswers(clients.job_store(settings.table, bucket=None), clients.workflow_tasks())
    if settings.archive_bucket:
        from rune.services.archive import ArchiveSink  # noqa: PLC0415

        jobs = clients.job_store(settings.table, settings.bucket)
        yield ArchiveSink(jobs, clients.archive(settings.archive_bucket))
