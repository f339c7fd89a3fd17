"""Answers that have a fault."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum

from local.simulators.faults import HTML_PAGE, FaultKind
from local.simulators.vastai.access import unauthorized
from local.simulators.vastai.faults import RetryAfterIn, VastaiFault, VastaiFaultKind
from local.simulators.vastai.wire import Delivery, VastAnswer, failure, plain, success
from local.simulators.vastai.world import World

HTML_TYPE = "text/html"
BAD_GATEWAY_PAGE = "<html><head><title>502 Bad Gateway</title></head><body>502 Bad Gateway</body></html>"

_DELIVERIES: dict[StrEnum, Delivery] = {
    FaultKind.DISCONNECTED: Delivery.DISCONNECTED,
    FaultKind.HANG: Delivery.HANG,
}
_FAILURES: dict[StrEnum, tuple[int, str, str]] = {
    VastaiFaultKind.SERVER_ERROR: (500, "server_error", "Internal server error"),
    VastaiFaultKind.FORBIDDEN: (403, "not_authorized", "You are not authorized to do this."),
}


def faulty_answer(world: World, fault: VastaiFault, now: float) -> VastAnswer:
    """Return what is sent instead of the answer, or that nothing is."""
    match fault.kind:
        case VastaiFaultKind.TOO_FREQUENT:
            answer = _too_frequent(fault)
        case VastaiFaultKind.SEARCH_QUOTA:
            answer = _search_quota(now)
        case VastaiFaultKind.BAD_GATEWAY:
            answer = plain(fault.status or 502, fault.text or BAD_GATEWAY_PAGE, HTML_TYPE)
        case FaultKind.NOT_JSON:
            answer = plain(200, fault.text or HTML_PAGE, HTML_TYPE)
        case VastaiFaultKind.NO_MEMBERS | FaultKind.DISCONNECTED | FaultKind.HANG:
            answer = success().delivered(_DELIVERIES.get(fault.kind, Delivery.NORMAL))
        case VastaiFaultKind.UNAUTHORIZED:
            answer = unauthorized(world)
        case _:
            status, code, text = _FAILURES.get(fault.kind, (200, fault.error, "simulated failure"))
            answer = failure(fault.status or status, code, fault.text or text)
    return answer


def _too_frequent(fault: VastaiFault) -> VastAnswer:
    text = fault.text or "API requests too frequent"
    seconds = fault.retry_after_seconds
    if seconds is None:
        return plain(429, text)
    if fault.retry_after_in is RetryAfterIn.JSON:
        return failure(429, "rate_limited", text, retry_after=seconds)
    return plain(429, text, Retry_After=f"{seconds:g}")


def _search_quota(now: float) -> VastAnswer:
    midnight = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    resets_at = int((midnight + timedelta(days=1)).timestamp())
    answer = failure(429, "search_quota_exceeded", "Daily search quota exceeded.")
    return VastAnswer(status=429, body=answer.body, headers={"X-RateLimit-Reset": str(resets_at)})
