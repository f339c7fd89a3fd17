"""A call of a function, which another service makes with or without waiting for the answer."""

import json
import logging

from rune.contracts.problems import problem_of
from rune.errors import RequestError
from rune.services.intake.desk import Refusals
from rune.services.intake.envelopes import read_invocation
from rune.services.intake.orders import Orders
from rune.services.intake.ways import Way

log = logging.getLogger(__name__)


def answer_call(
    orders: Orders, refusals: Refusals, tenant: str, payload: object, request_id: str
) -> dict[str, object]:
    """Return what the API would answer: that the job is accepted, or the problem, whose `status` is a number.

    What is refused for good goes to the failure queue too: whether the caller waits for the answer is not known
    here.

    Parameters
    ----------
    request_id
        The same when Lambda tries a call again for which nobody waits.

    Raises
    ------
    RuneError
        Another try may succeed. Lambda makes one where nobody waits; others call again.
    """
    try:
        order = read_invocation(payload, request_id)
        submitted = orders.submit(Way.INVOKE, tenant, order)
    except RequestError as error:
        if error.retryable:
            raise
        problem = problem_of(error)
        refusals.put(Way.INVOKE, json.dumps(payload), problem)
        log.warning("intake.refused", extra={"way": Way.INVOKE, "code": problem.code})
        return problem.as_document(request_id)
    extra = {"way": Way.INVOKE, "tenant": tenant, "job_id": submitted.job_id}
    log.info("intake.accepted", extra=extra)
    return {"job_id": submitted.job_id, "status": "accepted"}
