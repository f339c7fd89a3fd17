"""Lines of who changed what, where no request of the API tells it: jobs that other services and schedules ask for.

The API's own lines are written for each request (`api.request_lines`); these have the same event and members, and
`actor` in place of a token's name.
"""

import logging
from collections.abc import Mapping

from rune.jobs.record import Kind
from rune.jobs.store import Submitted

log = logging.getLogger(__name__)


def tell_submitted(tenant: str, actor: str, kind: Kind, submitted: Submitted, **ids: str) -> None:
    """Tell of a job that was accepted; of one that was accepted before, nothing.

    Parameters
    ----------
    actor
        Who asked: `trigger:<way>` or `schedule:<id>`.
    ids
        Of what else it is about, such as `schedule_id`.
    """
    if not submitted.is_replay:
        _tell(f"post_{kind.replace('-', '_')}", tenant, actor, {"job_id": submitted.job_id, **ids})


def tell_cancelled(tenant: str, actor: str, job_id: str, **ids: str) -> None:
    """Tell of a job that was asked to end."""
    _tell("cancel_job", tenant, actor, {"job_id": job_id, **ids})


def _tell(action: str, tenant: str, actor: str, ids: Mapping[str, str]) -> None:
    log.info("audit", extra={"action": action, "tenant": tenant, "actor": actor, **ids})
