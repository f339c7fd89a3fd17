import asyncio

import pytest

from rune.errors import (
    CreateLostError,
    NoCreditError,
    OfferGoneError,
    ProviderBusyError,
    ProviderFailedError,
    ProviderKeyError,
    ProviderRefusedError,
    RentalError,
)
from rune.rentals import self_destruct
from rune.rentals.provider import Order
from rune.rentals.vastai import CREATE_TIMEOUT_SECONDS, RequestNotSentError, ResponseLostError, VastAi
from rune.rentals.vastai_responses import VastaiResponse
from tests.unit.rentals.scripted import ScriptedTransport, Sent, an_answer
from tests.unit.rentals.test_vastai_responses import BAD_KEY, CREDIT, HTML, NO_ASK, TAKEN

ORDER = Order(
    offer_id=111,
    label="rune-local-1",
    disk_gb=40,
    ports=(11434,),
    image="ollama/ollama:0.9.0",
    env={"OLLAMA_HOST": "0.0.0.0:11434"},
)
MADE = an_answer({"success": True, "new_contract": 12_345_678, "instance_api_key": "d15a"})

COMMON = {
    "client_id": "me",
    "label": "rune-local-1",
    "disk": 40,
    "env": {"-p 11434:11434": "1", "OLLAMA_HOST": "0.0.0.0:11434"},
    "target_state": "running",
    "cancel_unavail": True,
}
IMAGE = {"image": "ollama/ollama:0.9.0"}
TEMPLATE = {"template_hash_id": "4e17788f74f075dd9aab7d0d4427968f"}
SCRIPT = {"runtype": "args", "onstart": "/bin/sh", "args": ["-c", "exec ollama serve"]}


async def _no_pause(seconds: float) -> None:
    raise AssertionError(f"an order does not wait, but {seconds} s were asked for")


def create(
    answer: VastaiResponse | RequestNotSentError | ResponseLostError, order: Order = ORDER
) -> tuple[int, ScriptedTransport]:
    transport = ScriptedTransport([answer])
    return asyncio.run(VastAi(transport, _no_pause).create(order)), transport


def an_order(*, image: bool = True, template: bool = False, script: bool = False) -> Order:
    return Order(
        offer_id=111,
        label="rune-local-1",
        disk_gb=40,
        ports=(11434,),
        image="ollama/ollama:0.9.0" if image else None,
        template_hash="4e17788f74f075dd9aab7d0d4427968f" if template else None,
        script="exec ollama serve" if script else None,
        env={"OLLAMA_HOST": "0.0.0.0:11434"},
    )


@pytest.mark.parametrize(
    ("order", "body"),
    [
        (an_order(), {**COMMON, **IMAGE, "runtype": "args", "args": ["serve"]}),
        (an_order(script=True), {**COMMON, **IMAGE, **SCRIPT}),
        (an_order(image=False, template=True), {**COMMON, **TEMPLATE}),
        (an_order(image=False, template=True, script=True), {**COMMON, **TEMPLATE, **SCRIPT}),
        (an_order(template=True), {**COMMON, **TEMPLATE, **IMAGE}),
    ],
    ids=["plain", "script", "template", "template and script", "template and image"],
)
def test_create_sends_the_order_once(order: Order, body: dict[str, object]) -> None:
    contract_id, transport = create(MADE, order)

    assert contract_id == 12_345_678
    assert transport.sent == [Sent("PUT", "/api/v0/asks/111/", body=body)]
    assert transport.timeouts_seconds == [CREATE_TIMEOUT_SECONDS]


def test_create_maps_every_port_by_a_key_of_its_own() -> None:
    order = Order(1, "x", 40, ports=(11434, 8080), image="i", env={"A": "b"})

    _, transport = create(MADE, order)

    assert transport.sent[0].body is not None
    assert transport.sent[0].body["env"] == {"-p 11434:11434": "1", "-p 8080:8080": "1", "A": "b"}


def test_create_stays_within_the_4096_characters_that_a_start_may_take() -> None:
    script = self_destruct.make_script("https://console.vast.ai")

    assert script is not None
    assert len("/bin/sh" + "-c" + script) <= 4096


NOT_MADE: list[tuple[VastaiResponse | RequestNotSentError, type[RentalError]]] = [
    (RequestNotSentError(), ProviderFailedError),
    (an_answer(NO_ASK, 404), OfferGoneError),
    (an_answer(TAKEN, 410), OfferGoneError),
    (an_answer(NO_ASK, 400), OfferGoneError),
    (an_answer({**NO_ASK, "success": False}, 200), OfferGoneError),
    (an_answer(CREDIT, 400), NoCreditError),
    (an_answer(CREDIT, 200), NoCreditError),
    (an_answer({"success": False, "error": "spend_rate_limit"}, 400), NoCreditError),
    (an_answer({"success": False, "error": "missing_billing"}, 400), NoCreditError),
    (an_answer(BAD_KEY, 404), ProviderKeyError),
    (an_answer(BAD_KEY, 401), ProviderKeyError),
    (an_answer({"error": "not_authorized"}, 403), ProviderKeyError),
    (an_answer("API requests too frequent: endpoint threshold=4.5", 429), ProviderBusyError),
    (an_answer({"error": "invalid_args", "msg": "error 400/3467: x"}, 400), ProviderRefusedError),
    (an_answer({"error": "invalid_price"}, 400), ProviderRefusedError),
    (an_answer({"success": False, "msg": "no"}, 200), ProviderRefusedError),
]


@pytest.mark.parametrize(("answer", "error"), NOT_MADE)
def test_create_tells_why_no_machine_was_made(
    answer: VastaiResponse | RequestNotSentError, error: type[RentalError]
) -> None:
    with pytest.raises(error) as raised:
        create(answer)

    assert type(raised.value) is error
    assert raised.value.contract_id is None


GATEWAY_TEXTS = [
    HTML,
    "",
    "<h1>503</h1>The service is not available.",
    "This page is no longer available",
    '{"success": false, "error": "server_error", "msg": "The database is not available."}',
    '{"error": "auth_error", "msg": "auth backend down"}',
    '{"error": "no_such_ask"}',
]


@pytest.mark.parametrize("status", [500, 503])
@pytest.mark.parametrize("text", GATEWAY_TEXTS)
def test_create_is_lost_when_a_gateway_fails_whatever_its_page_says(status: int, text: str) -> None:
    with pytest.raises(CreateLostError):
        create(VastaiResponse(status, text))


@pytest.mark.parametrize(
    "answer",
    [
        ResponseLostError(),
        an_answer("", 200),
        an_answer(HTML, 200),
        an_answer("[]", 200),
        an_answer({"success": True}, 200),
        an_answer({"success": True, "new_contract": None}, 200),
        an_answer({"success": True, "new_contract": "soon"}, 200),
        an_answer({}, 200),
        an_answer("", 408),
        an_answer("", 308),
        an_answer("", 202),
    ],
)
def test_create_is_lost_when_the_answer_leaves_it_open(answer: VastaiResponse | ResponseLostError) -> None:
    with pytest.raises(CreateLostError):
        create(answer)


@pytest.mark.parametrize(
    "answer",
    [
        an_answer({"success": False, "msg": "bid too low", "new_contract": 4711}, 200),
        an_answer({"success": False, "error": "invalid_price", "new_contract": "4711"}, 400),
        an_answer({"success": False, "error": "insufficient_credit", "new_contract": 4711}, 400),
        an_answer({**TAKEN, "new_contract": 4711}, 410),
        an_answer({"success": False, "new_contract": 4711}, 500),
        an_answer({"new_contract": 4711}, 200),
        an_answer({"error": "rate_limited", "msg": "too frequent", "new_contract": 4711}, 429),
        an_answer({"success": False, "msg": "no", "new_contract": 4711}, 403),
    ],
)
def test_create_names_the_contract_that_a_refusal_left_behind(answer: VastaiResponse) -> None:
    with pytest.raises(RentalError) as raised:
        create(answer)

    assert raised.value.contract_id == 4711


def test_create_takes_a_contract_written_as_text() -> None:
    assert create(an_answer({"success": True, "new_contract": "12345678"}))[0] == 12_345_678
