"""A call of the function itself, with or without waiting for the answer."""

import os
from typing import Protocol

from rune import logs
from rune.aws.wiring import Clients
from rune.services.intake.calls import answer_call
from trigger.settings import TriggerSettings
from trigger.wiring import FailureQueues, make_orders

logs.configure(os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "invoke"))

settings = TriggerSettings.from_environment(os.environ)
clients = Clients()
store = clients.telling_job_store(settings.table, settings.bucket, settings.notice_queue_url)
orders = make_orders(settings, clients, store)
refusals = FailureQueues(clients, settings.failure_queue_urls)


class Context(Protocol):
    """What Lambda says about the invocation."""

    @property
    def aws_request_id(self) -> str:
        """The call, which Lambda may make again."""
        ...


def handle(payload: object, context: Context) -> dict[str, object]:
    """Return that the job is accepted, or the problem."""
    with logs.about(request_id=context.aws_request_id):
        return answer_call(orders, refusals, settings.tenant, payload, context.aws_request_id)
