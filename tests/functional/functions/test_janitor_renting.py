"""The janitor with an account: its order survives a revoked key, and an operator has everything given back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from local.simulators.serving import running_server
from local.simulators.vastai.app import create_app
from local.simulators.vastai.local_stack import LocalVastai, quick_settings
from local.simulators.vastai.settings import VastaiSettings
from rune.aws.deployment_store import DynamoDeploymentStore
from rune.aws.rental_store import DynamoRentalStore
from rune.errors import StoppedError
from rune.rentals import lifecycle
from rune.rentals.lifecycle import CHARGES_READ_EVERY
from rune.rentals.record import RentalState
from tests.builders import FakeClock, a_sample_event
from tests.cloud import TABLE
from tests.functional.functions.loading import loaded
from tests.functional.functions.test_janitor import TICK, Context
from tests.parameters import Ssm
from tests.rental_builders import (
    DEPLOYMENT_ID,
    OTHER_JOB_ID,
    RENTAL_ID,
    a_kept_rental,
    a_label,
    a_releasing_rental,
    a_rental_of,
)

if TYPE_CHECKING:
    from tests.cloud import Cloud

KEY_NAME = "/rune/test/vastai-key"


@pytest.fixture
def local() -> LocalVastai:
    # The handler's clock stands still, so that the simulator's rate limits would meet calls that come at once.
    return LocalVastai.create(quick_settings(VastaiSettings(rate_limits=False)))


@pytest.fixture
def janitor(cloud: Cloud, local: LocalVastai, clock: FakeClock) -> Iterator[ModuleType]:
    async def pause(seconds: float) -> None:
        clock.advance(seconds)

    Ssm().write(KEY_NAME, local.vastai.settings.api_key)
    with running_server(create_app(local)) as address:
        environment = {**cloud.environment, "VAST_API_URL": address, "VAST_API_KEY_PARAMETER": KEY_NAME}
        with loaded("janitor.handler", environment) as handler:
            handler.orphan_sweep._pause = pause
            yield handler


@dataclass
class ShortContext:
    """An invocation with time for one sweep."""

    remaining_ms: int = 50_000
    aws_request_id: str = "invocation-1"

    def get_remaining_time_in_millis(self) -> int:
        self.remaining_ms -= 12_000
        return self.remaining_ms


def test_tick_destroys_with_the_new_key_right_after_the_old_one_was_revoked(
    janitor: ModuleType, cloud: Cloud, local: LocalVastai, clock: FakeClock
) -> None:
    janitor.handle(TICK, Context())  # the process is warm, and has read the old key
    rental = a_releasing_rental(contract_id=local.vastai.plant_foreign(None), account_id=None)
    DynamoRentalStore(cloud.dynamodb, TABLE).open(rental)
    local.vastai.change_key("the-new-key")
    Ssm.write(KEY_NAME, "the-new-key")
    clock.advance(10)  # a key is used for 30 s before it is read again

    assert janitor.handle(TICK, Context())["destroyed"] == 1
    assert local.vastai.live() == []


def test_tick_frees_credit_that_no_living_rental_has_reserved(
    janitor: ModuleType, cloud: Cloud, clock: FakeClock
) -> None:
    key = {"pk": {"S": "CREDIT"}, "sk": {"S": "CREDIT"}}
    cloud.dynamodb.put_item(TableName=TABLE, Item={**key, "reserved_micro_usd": {"N": "990000"}})
    for _ in range(6):
        janitor.handle(TICK, Context())
        clock.advance(60)

    assert DynamoRentalStore(cloud.dynamodb, TABLE).read_reserved_micro_usd() == 0


def test_tick_reads_charges_a_day_after_a_machines_end(
    janitor: ModuleType, cloud: Cloud, clock: FakeClock
) -> None:
    rental_store = DynamoRentalStore(cloud.dynamodb, TABLE)
    rental = a_releasing_rental(account_id=None)
    rental_store.open(rental)
    ended = rental_store.update(rental, lifecycle.prove_release(rental, clock.now(), clock.now()))

    clock.advance(CHARGES_READ_EVERY.total_seconds() - 1)
    assert janitor.handle(TICK, Context())["charged"] == 0
    clock.advance(1)
    assert janitor.handle(TICK, Context())["charged"] == 1

    # The simulator's clock is not the test's, so that it has charged nothing for this machine.
    charged = rental_store.read(RENTAL_ID)
    assert charged != ended
    assert charged
    assert (charged.charge_problem, charged.due_at) == ("charges_not_there", clock.now() + CHARGES_READ_EVERY)


def test_tick_destroys_nothing_while_no_key_is_accepted_and_goes_on_when_one_is(
    janitor: ModuleType, cloud: Cloud, local: LocalVastai, clock: FakeClock
) -> None:
    old_key = local.vastai.settings.api_key
    janitor.handle(TICK, Context())
    rental = a_releasing_rental(contract_id=local.vastai.plant_foreign(None), account_id=None)
    rental_store = DynamoRentalStore(cloud.dynamodb, TABLE)
    rental_store.open(rental)
    local.vastai.change_key("the-new-key")
    clock.advance(10)

    assert janitor.handle(TICK, Context())["destroyed"] == 0
    still = rental_store.read(RENTAL_ID)
    assert still
    assert (still.state, still.destroy_asked_at) == (RentalState.RELEASING, None)

    local.vastai.change_key(old_key)
    clock.advance(60)
    assert janitor.handle(TICK, Context())["destroyed"] == 1


def test_key_of_another_account_proves_nothing_and_the_old_one_ends_the_rental(
    janitor: ModuleType, cloud: Cloud, local: LocalVastai, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    clock.advance(1800)
    contract_id = local.vastai.plant_foreign(a_label())
    rental_store = DynamoRentalStore(cloud.dynamodb, TABLE)
    rental_store.open(a_kept_rental(contract_id=contract_id, account_id=None, label=a_label()))
    write_deployment(cloud)
    janitor.handle(TICK, Context())  # it writes down which account lists the machine
    local.vastai.open_account("key-of-another-account")

    Ssm.write(KEY_NAME, "key-of-another-account")
    for _ in range(3):
        clock.advance(1801)  # the machine's time is over by the second of these ticks
        janitor.handle(TICK, Context())

    still = rental_store.read(RENTAL_ID)
    assert still
    assert (still.state, still.account_id) == (RentalState.RELEASING, 123_456)
    assert [contract.contract_id for contract in local.vastai.live()] == [contract_id]
    rung = [line for line in caplog.records if line.msg == "rental.of_other_account"]
    assert len(rung) == 3

    Ssm.write(KEY_NAME, local.vastai.settings.api_key)
    for _ in range(2):
        clock.advance(60)
        janitor.handle(TICK, Context())

    gone = rental_store.read(RENTAL_ID)
    assert gone
    assert (gone.state, local.vastai.live()) == (RentalState.RELEASED, [])


@pytest.mark.parametrize(
    "event",
    [
        {"give_back": "ALL"},
        {"give_back": True},
        {"give_back": ["all"]},
        {"give_back": None},
        {"give_back": "all", "stage": "dev"},
    ],
    ids=str,
)
def test_operator_s_event_that_is_mistyped_is_refused(janitor: ModuleType, event: dict[str, object]) -> None:
    with pytest.raises(ValueError, match='give_back must be "all" or "none"'):
        janitor.handle(event, ShortContext())


def write_deployment(cloud: Cloud) -> None:
    """Give the table the id that the builders' labels have."""
    row = {"pk": "DEPLOYMENT", "sk": "DEPLOYMENT", "deployment_id": DEPLOYMENT_ID}
    item = {name: {"S": value} for name, value in row.items()}
    cloud.dynamodb.put_item(TableName=TABLE, Item=item)


def test_operator_has_everything_given_back_by_a_call_of_the_function(
    janitor: ModuleType, cloud: Cloud, local: LocalVastai, clock: FakeClock
) -> None:
    clock.advance(1800)
    stranger = local.vastai.plant_foreign("my-training-box")
    kept = a_kept_rental(contract_id=local.vastai.plant_foreign(a_label()), account_id=None)
    DynamoRentalStore(cloud.dynamodb, TABLE).open(kept)

    first = janitor.handle(a_sample_event("operator-give-back"), ShortContext())
    clock.advance(130)
    second = janitor.handle(a_sample_event("operator-give-back"), ShortContext())

    assert first == {"renting": "closed", "done": False, "destroyed": 1, "proven": 1, "left": {}}
    assert second == {"renting": "closed", "done": True, "destroyed": 0, "proven": 0, "left": {}}
    assert [contract.contract_id for contract in local.vastai.live()] == [stranger]
    assert DynamoDeploymentStore(cloud.dynamodb, TABLE).read().closed_at is not None

    assert janitor.handle({"give_back": "none"}, ShortContext()) == {"renting": "open"}
    assert DynamoDeploymentStore(cloud.dynamodb, TABLE).read().closed_at is None


def test_operator_stops_everything_by_a_call_and_takes_that_back(
    janitor: ModuleType, cloud: Cloud, local: LocalVastai, clock: FakeClock
) -> None:
    clock.advance(1800)
    stranger = local.vastai.plant_foreign("my-training-box")
    kept = a_kept_rental(contract_id=local.vastai.plant_foreign(a_label()), account_id=None)
    rental_store = DynamoRentalStore(cloud.dynamodb, TABLE)
    rental_store.open(kept)

    first = janitor.handle({"stop": "all"}, ShortContext())
    janitor.handle(TICK, Context())
    clock.advance(130)
    second = janitor.handle({"stop": "all"}, ShortContext())

    counts = {"running": 0, "waiting": 0, "left": {}}
    assert first == {"stopped": True, "done": False, "destroyed": 1, "proven": 1, **counts}
    assert second == {"stopped": True, "done": True, "destroyed": 0, "proven": 0, **counts}
    assert [contract.contract_id for contract in local.vastai.live()] == [stranger]
    with pytest.raises(StoppedError):
        rental_store.open(a_rental_of(OTHER_JOB_ID))

    assert janitor.handle({"stop": "none"}, ShortContext()) == {"stopped": False}
    assert rental_store.open(a_rental_of(OTHER_JOB_ID))
    with pytest.raises(ValueError, match='stop must be "all" or "none"'):
        janitor.handle({"stop": "ALL"}, ShortContext())
