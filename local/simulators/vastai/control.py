"""Control routes of the simulated Vast.ai: everything under `/_sim/`."""

import json
from collections.abc import Awaitable, Callable
from decimal import Decimal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from local.simulators.control import explain_refusal, fault_route, request_route
from local.simulators.vastai.bills import Bill
from local.simulators.vastai.boots import Loss
from local.simulators.vastai.contracts import Contract
from local.simulators.vastai.faults import VastaiFault
from local.simulators.vastai.local_stack import LocalVastai
from local.simulators.vastai.machines import Stream, Traffic

_BILL = TypeAdapter(Bill)


class _ClockBody(BaseModel):
    model_config = ConfigDict(extra="forbid")
    advance_seconds: float = Field(ge=0, allow_inf_nan=False)


class _ForeignBody(BaseModel):
    model_config = ConfigDict(extra="forbid")
    label: str | None = None


class _ContractBody(BaseModel):
    model_config = ConfigDict(extra="forbid")
    contract_id: int


class _KeyBody(BaseModel):
    model_config = ConfigDict(extra="forbid")
    api_key: str = Field(min_length=1)


class _AccountBody(_KeyBody):
    credit_usd: Decimal = Field(Decimal(100), allow_inf_nan=False)


class _TrafficBody(_ContractBody):
    received_bytes: int = Field(0, ge=0)
    sent_bytes: int = Field(0, ge=0)
    received_bytes_per_second: float = Field(0.0, ge=0, allow_inf_nan=False)
    sent_bytes_per_second: float = Field(0.0, ge=0, allow_inf_nan=False)


class _PriceBody(_ContractBody):
    price_factor: float = Field(gt=0, allow_inf_nan=False)


class _LossBody(_ContractBody):
    loss: Loss


def control_routes(local: LocalVastai) -> list[BaseRoute]:
    """Return the control routes of one simulated Vast.ai.

    `/_sim/clock`: GET returns the time, POST `{"advance_seconds": n}` skips ahead.
    `/_sim/faults`, `/_sim/requests`: as for every simulator; requests are narrowed by `method`, `path`, `endpoint`.
    `/_sim/instances`: GET returns every contract ever made, its state, its bill, and who destroyed it; POST
    `{"contract_id": n, "loss": "offline"}` loses a machine.
    `/_sim/bill`: GET returns the credit left and the cost of all contracts.
    `/_sim/traffic`: POST `{"contract_id": n, "sent_bytes": n, "sent_bytes_per_second": n, …}` lets strangers use a
    machine's open port, at once and steadily.
    `/_sim/price`: POST `{"contract_id": n, "price_factor": 1.5}` raises a contract's price from now on.
    `/_sim/key`: POST `{"api_key": "…"}` gives the account another key; the present one is wrong from then on.
    `/_sim/accounts`: POST `{"api_key": "…", "credit_usd": 10}` adds another account with its own key and machines.
    `/_sim/foreign`: POST `{"label": "…"}` adds an instance of another user, GET lists the requests that named one.
    """
    return [
        Route("/_sim/clock", _clock(local), methods=["GET", "POST"]),
        fault_route(local.vastai.faults, VastaiFault),
        request_route(local.vastai.requests),
        Route("/_sim/instances", _instances(local), methods=["GET", "POST"]),
        Route("/_sim/bill", _bill(local), methods=["GET"]),
        Route("/_sim/traffic", _traffic(local), methods=["POST"]),
        Route("/_sim/price", _price(local), methods=["POST"]),
        Route("/_sim/key", _key(local), methods=["POST"]),
        Route("/_sim/accounts", _accounts(local), methods=["POST"]),
        Route("/_sim/foreign", _foreign(local), methods=["GET", "POST"]),
    ]


type _Answer = Callable[[Request], Awaitable[Response]]


def _clock(local: LocalVastai) -> _Answer:
    async def clock(request: Request) -> Response:
        if request.method == "POST":
            try:
                body = _ClockBody.model_validate_json(await request.body())
            except ValidationError as error:
                return explain_refusal(error)
            local.clock.skip(body.advance_seconds)
            local.vastai.advance()
        return JSONResponse(
            {
                "now": local.clock.now().isoformat(),
                "epoch_seconds": local.clock.epoch_seconds(),
                "skipped_seconds": local.clock.skipped_seconds,
            }
        )

    return clock


def _instances(local: LocalVastai) -> _Answer:
    async def instances(request: Request) -> Response:
        if request.method == "POST":
            try:
                body = _LossBody.model_validate_json(await request.body())
                local.vastai.lose(body.contract_id, body.loss)
            except ValidationError as error:
                return explain_refusal(error)
            except KeyError:
                return JSONResponse({"error": "there is no such instance"}, 404)
        contracts = local.vastai.instances.values()
        return JSONResponse({"instances": [_describe(local, contract) for contract in contracts]})

    return instances


def _key(local: LocalVastai) -> _Answer:
    def apply(body: _KeyBody) -> None:
        local.vastai.change_key(body.api_key)

    return _change_of_keys(_KeyBody, apply)


def _accounts(local: LocalVastai) -> _Answer:
    def apply(body: _AccountBody) -> None:
        local.vastai.open_account(body.api_key, body.credit_usd)

    return _change_of_keys(_AccountBody, apply)


def _change_of_keys[B: _KeyBody](body_type: type[B], apply: Callable[[B], None]) -> _Answer:
    """Return the route that changes who may do what; its answer tells no key."""

    async def change(request: Request) -> Response:
        try:
            apply(body_type.model_validate_json(await request.body()))
        except ValidationError as error:
            return explain_refusal(error)
        return JSONResponse({})

    return change


def _traffic(local: LocalVastai) -> _Answer:
    def apply(body: _TrafficBody) -> None:
        stream = Stream(
            since=local.clock.epoch_seconds(),
            received_bytes_per_second=body.received_bytes_per_second,
            sent_bytes_per_second=body.sent_bytes_per_second,
        )
        local.vastai.add_traffic(body.contract_id, Traffic(body.received_bytes, body.sent_bytes), stream)

    return _change_of_contract(local, _TrafficBody, apply)


def _price(local: LocalVastai) -> _Answer:
    def apply(body: _PriceBody) -> None:
        local.vastai.raise_price(body.contract_id, body.price_factor)

    return _change_of_contract(local, _PriceBody, apply)


def _change_of_contract[B: _ContractBody](
    local: LocalVastai, body_type: type[B], apply: Callable[[B], None]
) -> _Answer:
    """Return the route that changes one contract, and answers with its description."""

    async def change(request: Request) -> Response:
        try:
            body = body_type.model_validate_json(await request.body())
            apply(body)
        except ValidationError as error:
            return explain_refusal(error)
        except KeyError:
            return JSONResponse({"error": "there is no such instance"}, 404)
        return JSONResponse(_describe(local, local.vastai.instances[body.contract_id]))

    return change


def _bill(local: LocalVastai) -> _Answer:
    async def bill(_request: Request) -> Response:
        bills = [local.vastai.bill(contract_id) for contract_id in local.vastai.instances]
        total_usd = sum(float(one.total_usd) for one in bills)
        return JSONResponse(
            {
                "credit_usd": round(float(local.vastai.credit_usd), 6),
                "total_usd": round(total_usd, 6),
                "bills": [_describe_bill(one) for one in bills],
            }
        )

    return bill


def _foreign(local: LocalVastai) -> _Answer:
    async def foreign(request: Request) -> Response:
        if request.method == "POST":
            try:
                body = _ForeignBody.model_validate_json(await request.body() or b"{}")
            except ValidationError as error:
                return explain_refusal(error)
            return JSONResponse({"contract_id": local.vastai.plant_foreign(body.label)})
        touched = [record.describe() for record in local.vastai.touched_foreign()]
        return JSONResponse({"touched": touched})

    return foreign


def _describe(local: LocalVastai, contract: Contract) -> dict[str, object]:
    now = local.clock.epoch_seconds()
    moment = contract.moment(now)
    return {
        "contract_id": contract.contract_id,
        "machine_id": contract.listing.offer.machine_id,
        "label": contract.label,
        "exists": moment.exists,
        "actual_status": moment.actual,
        "intended_status": moment.intended,
        "status_msg": moment.text,
        "host_port": contract.host_port,
        "destroyed_by": contract.destroyed_by,
        "is_foreign": contract.is_foreign,
        "env": [*contract.container_env],
        "bill": _describe_bill(local.vastai.bill(contract.contract_id)),
    }


def _describe_bill(bill: Bill) -> dict[str, object]:
    """Return a bill with its amounts as numbers."""
    described: dict[str, object] = json.loads(_BILL.dump_json(bill))
    return {name: float(str(value)) if name.endswith("_usd") else value for name, value in described.items()}
