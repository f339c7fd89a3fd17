"""Which machines get a key in front of their server, and where that key is and is not."""

import gzip
import re
from base64 import b64decode
from hashlib import sha256

import pytest

from rune.events.record import Subject, SubjectKind
from rune.jobs.outcomes import Next
from rune.jobs.record import Kind, StepName
from rune.rentals import guard
from rune.rentals.provider import Order, Template
from rune.rentals.settings import RentalSettings
from rune.tenants.settings import FixedTenants
from tests.builders import TENANT
from tests.rental_builders import RENTAL_ID, STAGE
from tests.tenant_builders import tenants_with
from tests.unit.workflows.rental.world import World, a_renting_job, a_world

JOB = a_renting_job()
HANDED_OVER = a_renting_job(kind=Kind.LLM_INSTANCE)
GUARDING = tenants_with({"guard_instances": True}, TENANT)
OPEN_HOST = "0.0.0.0:11434"


def ordered(world: World) -> Order:
    (order,) = world.market.orders
    return order


def has_proxy(order: Order) -> bool:
    packed = re.search(r"echo (\S+) \| base64 -d", order.script or "")
    return packed is not None and "accept" in gzip.decompress(b64decode(packed[1])).decode()


def test_machine_of_a_benchmark_asks_for_a_fresh_key_of_which_the_order_has_the_digest() -> None:
    world = a_world()

    world.run(JOB)

    order, key = ordered(world), world.rental_store.keys[RENTAL_ID]
    assert has_proxy(order)
    assert order.env[guard.DIGEST_VARIABLE] == sha256(key.encode()).hexdigest()
    assert order.env[guard.HOST_VARIABLE] == "127.0.0.1:11435"
    assert world.rental().is_guarded
    # Until a request without the key was refused.
    assert world.rental().is_open


def test_key_is_in_nothing_but_its_own_row() -> None:
    world = a_world()

    outcome = world.run(JOB)

    key = world.rental_store.keys[RENTAL_ID]
    events = world.rental_store.outbox.log_of(Subject(SubjectKind.RENTAL, RENTAL_ID))
    assert events
    for told in (repr(ordered(world)), repr(world.rental()), repr(outcome), repr(events)):
        assert key not in told


def test_key_is_another_one_for_each_machine() -> None:
    worlds = a_world(), a_world()
    for world in worlds:
        world.run(JOB)

    assert len({world.rental_store.keys[RENTAL_ID] for world in worlds}) == 2


@pytest.mark.parametrize(("tenants", "is_guarded"), [(None, False), (GUARDING, True)])
def test_machine_that_is_handed_over_is_open_unless_its_tenants_document_says_otherwise(
    tenants: FixedTenants | None, is_guarded: bool
) -> None:
    world = a_world()
    world.tenants = tenants or world.tenants

    world.run(HANDED_OVER)

    assert (world.rental().is_guarded, has_proxy(ordered(world))) == (is_guarded, is_guarded)
    assert (RENTAL_ID in world.rental_store.keys) is is_guarded
    assert (ordered(world).env[guard.HOST_VARIABLE] == OPEN_HOST) is not is_guarded


def test_machine_of_a_callers_template_is_left_as_it_is() -> None:
    world = a_world()
    world.market.templates["h"] = Template("h", "ollama/ollama", "", disk_gb=40, starts_itself=True)

    world.run(JOB, template_hash="h")

    assert (world.rental().is_guarded, has_proxy(ordered(world)), world.rental_store.keys) == (
        False,
        False,
        {},
    )
    assert ordered(world).env[guard.HOST_VARIABLE] == OPEN_HOST


def test_machine_is_guarded_where_nothing_destroys_it_by_itself() -> None:
    world = a_world()
    world.settings = RentalSettings(STAGE, "http://127.0.0.1:9", "ollama/ollama:0.9.0")

    assert isinstance(world.run(JOB), Next)

    assert (world.rental().has_self_destruct, has_proxy(ordered(world))) == (False, True)


def test_second_worker_of_a_turn_leaves_the_key_that_the_order_has() -> None:
    world = a_world()
    world.run(JOB)
    key = world.rental_store.keys[RENTAL_ID]

    assert not world.rental_store.open(world.rental(), key="another")

    assert world.rental_store.keys[RENTAL_ID] == key
    assert JOB.step is StepName.RENT
