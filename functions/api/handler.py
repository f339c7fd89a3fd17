"""API Gateway's HTTP API in, one response out."""

import asyncio
import logging
import os
from collections.abc import Mapping

from mangum import Mangum
from mangum.types import LambdaContext, LambdaEvent

from api.app import create_app
from api.problems import Problem
from rune import logs
from rune.clock import SystemClock
from rune.jobs.aws import Clients
from rune.jobs.desk import Desk, Terms
from rune.jobs.plan import Lane
from rune.net.addresses import AddressPolicy
from rune.settings import ApiSettings
from rune.tenants.tokens import TokenBook

logs.configure()
log = logging.getLogger(__name__)

settings = ApiSettings.from_environment(os.environ)
clients = Clients()
app = create_app(
    desk=Desk(
        clients.job_store(settings.table, settings.bucket),
        clients.step_queue({Lane.CONTROL: settings.control_queue_url}),
        SystemClock(),
        Terms(run_limit=settings.run_limit, retention=settings.retention),
    ),
    tokens=TokenBook.take_from(os.environ, auth_disabled=settings.auth_disabled),
    auth_disabled=settings.auth_disabled,
    address_policy=AddressPolicy.parse(settings.allowed_networks),
)
# Mangum runs requests on the current event loop, which Python no longer makes by itself.
asyncio.set_event_loop(asyncio.new_event_loop())
# Without its own list Mangum takes problem+json for binary and sends it in base64.
adapter = Mangum(app, lifespan="off", text_mime_types=["text/", "json", "javascript", "xml"])


def handle(event: LambdaEvent, context: LambdaContext) -> Mapping[str, object]:
    """Return the API's response to an HTTP request (payload format 2.0)."""
    try:
        response = adapter(event, context)
    except (KeyError, RuntimeError, UnicodeDecodeError, ValueError):
        # Mangum reads Host and X-Forwarded-Port outside the app, and raises on odd ones such as "[::1]".
        log.exception("request.unreadable")
        return Problem(400, "bad_request", "The request's headers cannot be read.").as_lambda_response()
    return response
