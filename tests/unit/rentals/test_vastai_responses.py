import json

import pytest

from rune.errors import (
    NoCreditError,
    OfferGoneError,
    ProviderBusyError,
    ProviderFailedError,
    ProviderKeyError,
    ProviderRefusedError,
    RentalError,
    SearchQuotaError,
)
from rune.rentals.vastai_responses import (
    VastaiResponse,
    describe_failure,
    is_gone,
)
from tests.unit.rentals.scripted import an_answer

BAD_KEY = {"success": False, "error": "auth_error", "msg": "Invalid user key"}
NO_INSTANCE = {"success": False, "error": "no_such_instance", "msg": "Instance 12345 not found."}
NO_ASK = {
    "success": False,
    "error": "invalid_args",
    "msg": "error 404/3603: no_such_ask Instance type by id 111 is not available.",
    "ask_id": 111,
}
TAKEN = {"error": "no_such_ask", "msg": "error 410/3907: no_such_ask 111 is no longer available."}
REMOVED = {"success": False, "error": "deprecated_endpoint", "msg": "Use /api/v1/instances/ instead."}
QUOTA = {"success": False, "error": "search_quota_exceeded", "msg": "Come back tomorrow."}
CREDIT = {"success": False, "error": "insufficient_credit", "msg": "Add credit."}
HTML = "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"

FAILURES: list[tuple[int, object, type[RentalError]]] = [
    (404, BAD_KEY, ProviderKeyError),
    (401, BAD_KEY, ProviderKeyError),
    (200, BAD_KEY, ProviderKeyError),
    (404, {"error": "error", "msg": "Session expired. Please log in again."}, ProviderKeyError),
    (401, {"msg": "Two Factor Authentication required"}, ProviderKeyError),
    (403, {"success": False, "error": "not_authorized", "msg": "Missing scope"}, ProviderKeyError),
    (403, HTML, ProviderKeyError),
    (429, "API requests too frequent", ProviderBusyError),
    (429, "API requests too frequent: endpoint threshold=4.5", ProviderBusyError),
    (429, {"detail": "slow down"}, ProviderBusyError),
    (429, {"success": False, "error": "rate_limited", "msg": "x"}, ProviderBusyError),
    (200, {"success": False, "msg": "API requests too frequent"}, ProviderBusyError),
    (429, HTML, ProviderBusyError),
    (429, QUOTA, SearchQuotaError),
    (410, REMOVED, ProviderRefusedError),
    (200, REMOVED, ProviderRefusedError),
    (400, {"error": "invalid_request", "msg": "Invalid json body"}, ProviderRefusedError),
    (400, {"error": "invalid_args", "msg": "error 400/1782: Invalid args: x"}, ProviderRefusedError),
    (400, {"error": "invalid_price"}, ProviderRefusedError),
    (422, {"detail": "bad name"}, ProviderRefusedError),
    (404, NO_INSTANCE, ProviderRefusedError),
    (502, HTML, ProviderFailedError),
    (503, HTML, ProviderFailedError),
    (504, "", ProviderFailedError),
    (500, {"success": False, "error": "server_error"}, ProviderFailedError),
    (408, {"msg": "timeout"}, ProviderFailedError),
    (404, HTML, ProviderFailedError),
    (404, "", ProviderFailedError),
    (308, "", ProviderFailedError),
    (404, NO_ASK, OfferGoneError),
    (410, TAKEN, OfferGoneError),
    (400, NO_ASK, OfferGoneError),
    (200, NO_ASK, OfferGoneError),
    (400, CREDIT, NoCreditError),
    (200, CREDIT, NoCreditError),
    (400, {"error": "missing_billing", "msg": "x"}, NoCreditError),
    (400, {"error": "spend_rate_limit", "msg": "x"}, NoCreditError),
]


@pytest.mark.parametrize(("status", "body", "error"), FAILURES)
def test_failure_is_told_by_its_words_and_then_by_its_status(
    status: int, body: object, error: type[RentalError]
) -> None:
    answer = an_answer(body, status)

    assert not answer.is_success
    assert type(describe_failure(answer)) is error


@pytest.mark.parametrize("member", ["error", "msg", "message", "detail"])
def test_failure_is_read_from_whichever_member_holds_the_text(member: str) -> None:
    assert type(describe_failure(an_answer({member: "Insufficient_Credit"}, 400))) is NoCreditError


@pytest.mark.parametrize(
    ("status", "body"), [row[:2] for row in FAILURES], ids=[f"{row[0]}-{row[2].__name__}" for row in FAILURES]
)
def test_failure_names_the_contract_that_was_made_all_the_same(status: int, body: object) -> None:
    members = body if isinstance(body, dict) else {"msg": body}

    error = describe_failure(an_answer({**members, "new_contract": 4711}, status))

    assert error.contract_id == 4711


@pytest.mark.parametrize(("status", "body"), [row[:2] for row in FAILURES])
def test_failure_never_quotes_what_came_over_the_wire(status: int, body: object) -> None:
    secret = "d15a-instance-api-key"
    text = body + secret if isinstance(body, str) else json.dumps({**body, "msg": secret})  # type: ignore[dict-item]

    assert secret not in describe_failure(an_answer(text, status)).sentence


@pytest.mark.parametrize(
    ("header", "body", "seconds"),
    [
        ("", "", None),
        ("12", "", 12),
        ("0", "", 1),
        ("-3", "", 1),
        ("1.9", "", 1),
        ("86400", "", 900),
        ("Wed, 21 Oct 2026 07:28:00 GMT", "", None),
        ("nan", "", None),
        ("inf", "", None),
        ("", {"retry_after": 7}, 7),
        ("", {"retry_after": "7"}, 7),
        ("", {"retry_after": None}, None),
        ("", {"retry_after": True}, None),
        ("soon", {"retry_after": 7}, 7),
        ("3", {"retry_after": 7}, 3),
    ],
)
def test_busy_tells_how_long_to_stay_away(header: str, body: object, seconds: int | None) -> None:
    error = describe_failure(an_answer(body, 429, header))

    assert isinstance(error, ProviderBusyError)
    assert error.retry_after_seconds == seconds


@pytest.mark.parametrize(
    ("status", "body", "gone"),
    [
        (404, NO_INSTANCE, True),
        (200, NO_INSTANCE, True),
        (404, {"success": False, "error": "not_found", "msg": "Instance 1 not found"}, True),
        (404, BAD_KEY, False),
        (404, {**BAD_KEY, "error": "not_found"}, False),
        (404, {"error": "not_found", "msg": "Session expired. Please log in again."}, False),
        (404, HTML, False),
        (404, "", False),
        (404, "no_such_instance", False),
        (410, REMOVED, False),
        (400, {"error": "invalid_args", "msg": "no_such_instance"}, False),
        (401, NO_INSTANCE, False),
        (403, NO_INSTANCE, False),
        (429, NO_INSTANCE, False),
        (500, NO_INSTANCE, False),
        (503, NO_INSTANCE, False),
        (200, {"success": True}, False),
    ],
)
def test_is_gone_only_when_the_provider_says_so_in_its_own_code(
    status: int, body: object, gone: bool
) -> None:
    assert is_gone(an_answer(body, status)) is gone


@pytest.mark.parametrize("text", ["", "null", "[]", "7", '"x"', "{", HTML, "\x00"])
def test_answer_has_no_members_when_its_body_is_no_object(text: str) -> None:
    assert VastaiResponse(200, text).members() == {}
