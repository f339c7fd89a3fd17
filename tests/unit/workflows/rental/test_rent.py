from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from rune.errors import (
    ProviderBusyError,
    StoreUnavailableError,
)
from rune.jobs.outcomes import Again, Failed, Next, Note, Spending
from rune.jobs.record import Kind, StepName
from rune.rentals import guard, self_destruct
from rune.rentals.hosts import HostRecord
from rune.rentals.market import MarketRow
from rune.rentals.provider import Order, Template
from rune.rentals.record import Alternative, EndReason, Expected, Machine, Prices, Rental, RentalState
from rune.rentals.store import Endpoint
from rune.tenants.settings import TEMPLATE_NOT_ALLOWED
from rune.workflows.rental.dependencies import MAX_MACHINES
from rune.workflows.rental.rent import MAX_ORDERS
from rune.workflows.rental.search import too_dear
from tests.builders import JOB_ID, NOW, after
from tests.memory_host_store import MemoryHostStore
from tests.memory_market_store import MemoryMarketStore
from tests.rental_builders import (
    ALIVE,
    CONTRACT_ID,
    MODEL,
    RENTAL_ID,
    a_created_rental,
    a_released_rental,
    a_rental,
    a_rental_of,
)
from tests.unit.rentals.scripted import an_offer
from tests.unit.workflows.rental.world import SETTINGS, a_renting_job, a_world

JOB = a_renting_job()

DISK_GB = 41
"""8,000 MB and 15 % are 9 GB of weights; 32 GB of system."""


LABELS = {
    "rental_id": RENTAL_ID,
    "machine_id": "27182",
    "gpu": "1x RTX 4090",
    "usd_per_hour": "0.3581",
}
SCRIPT = self_destruct.make_script(SETTINGS.api_url)
GUARDED_SCRIPT = self_destruct.make_script(SETTINGS.api_url, guard.guard_start(self_destruct.START))


def gone(attempt: int, **overrides: object) -> Rental:
    """Return an attempt of the job's that came to nothing."""
    return a_released_rental(**a_named(attempt), **{"contract_id": None, **overrides})


def a_named(attempt: int) -> dict[str, object]:
    named = a_rental_of(JOB_ID, attempt)
    return {"rental_id": named.rental_id, "label": named.label, "attempt": attempt}


WHY = (
    "0.0219 USD expected: 0.3581 USD per hour for 80 s, 0.0138 USD of traffic, odds 0.996;"
    " next 1 1x RTX 4090 0.0911"
)


def test_rent_writes_the_intent_and_orders_the_best_offer() -> None:
    world = a_world()
    best = an_offer(offer_id=5, machine_id=27_182)
    world.market.offers = (an_offer(machine_id=1, download_usd_per_gb=Decimal("0.012")), best)

    outcome = world.run(JOB)

    assert isinstance(outcome, Next)
    assert outcome == Next(
        StepName.BOOT,
        phases_ms={"search": 0},
        labels={**LABELS, "contract_id": str(CONTRACT_ID)},
        notes=(
            Note(
                "vastai.offer_search",
                {"fitting": "2", "rejected": "", "chosen": "27182 1x RTX 4090", "why": WHY},
                duration_ms=0,
            ),
        ),
        # The image's traffic: 2 GB at 0.002 USD. What is reserved lasts until after the deadline.
        spending=Spending(RENTAL_ID, 4_000, cost_cap_at=outcome.spending.cost_cap_at),
    )
    assert world.rental() == replace(
        a_rental(),
        state=RentalState.CREATED,
        version=2,
        contract_id=CONTRACT_ID,
        machine=Machine(5, 27_182, "RTX 4090", 1, 24_564, DISK_GB, 99, "Quebec, CA"),
        prices=Prices(346_700, 11_389, 2_000),
        ceiling_at=JOB.deadline_at + timedelta(minutes=5),
        model=MODEL,
        model_bytes=9_000_000_000,
        reserved_micro_usd=409_930,
        mbit_per_second=913,
        choice=WHY,
        alternative=Alternative(912, 358_089, 12_000),
        expected=Expected(8, 21_780, boot_ms=47_538, pull_ms=42_968, load_ms=2_450, work_ms=4_240),
        has_self_destruct=True,
        is_guarded=True,
    )


def test_rent_notes_the_next_best_machine_for_a_download_that_is_slow() -> None:
    world = a_world()
    slice_of_it = an_offer(offer_id=2, price_usd_per_hour=Decimal("0.36"))
    other = an_offer(offer_id=3, machine_id=3, price_usd_per_hour=Decimal("0.4"))
    world.market.offers = (an_offer(), slice_of_it, other)

    world.run(JOB)

    assert world.rental().alternative == Alternative(912, 400_001, 2_000)


def test_rent_tells_what_the_floor_excluded() -> None:
    world = a_world()
    dear = {"price_usd_per_hour": Decimal("2.4"), "gpu_usd_per_hour": Decimal("2.4")}
    world.market.offers = (an_offer(), an_offer(offer_id=2, machine_id=2, **dear))

    outcome = world.run(JOB, min_dph=2.3)

    assert isinstance(outcome, Next)
    labels = outcome.notes[0].labels
    assert labels["chosen"] == "2 1x RTX 4090"
    assert labels["floor"] == "min_dph excluded 1 cheaper offers, from 0.3581 USD per hour"


def test_rent_asks_for_memory_for_the_context_that_the_job_loads() -> None:
    world = a_world()
    world.run(JOB, context_tokens=131_072)

    (requirements,) = world.market.called("search")
    # 8,000 MB for the model with 8,192 tokens, and 128 KiB for each further one.
    assert requirements.vram_mb == 8_000 + 122_880 * 128 // 1024  # type: ignore[attr-defined]
    assert requirements.download_gb == 9  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("image", "cuda_version"), [("ollama/ollama", 12.4), ("vllm/vllm-openai:v0.33.0", 13.0)]
)
def test_rent_asks_for_what_the_image_needs_of_the_gpu(image: str, cuda_version: float) -> None:
    world = a_world()
    world.market.templates["h"] = Template("h", image, "", disk_gb=40, starts_itself=True)
    world.run(JOB, template_hash="h")

    (requirements,) = world.market.called("search")
    assert requirements.gpu.cuda_version == cuda_version  # type: ignore[attr-defined]


def test_rent_looks_at_more_of_the_market_while_a_dearer_offer_may_cost_the_job_less() -> None:
    world = a_world()
    world.market.page_size = 2
    slow = {"download_mbit_per_second": 100.0}
    world.market.offers = (
        an_offer(offer_id=1, machine_id=1, port_count=0, price_usd_per_hour=Decimal("0.1")),
        an_offer(offer_id=2, machine_id=2, price_usd_per_hour=Decimal("0.37"), **slow),
        an_offer(offer_id=3, machine_id=3, price_usd_per_hour=Decimal("0.38")),
    )

    world.run(JOB)

    assert len(world.market.called("search")) == 2
    assert world.rental().machine.machine_id == 3


def test_rent_orders_a_machine_that_destroys_itself() -> None:
    world = a_world()
    world.run(JOB)

    expires = str(int((JOB.deadline_at + timedelta(minutes=20)).timestamp()))
    assert world.market.orders == [
        Order(
            offer_id=31_415_926,
            label=a_rental().label,
            disk_gb=DISK_GB,
            ports=(11434,),
            image="ollama/ollama:0.9.0",
            script=GUARDED_SCRIPT,
            env={
                **guard.make_environment(world.rental_store.keys[RENTAL_ID]),
                "OLLAMA_CONTEXT_LENGTH": "8192",
                "RUNE_EXPIRES_AT": expires,
                "RUNE_LIFE_SECONDS": str(
                    int((JOB.deadline_at + timedelta(minutes=20) - NOW).total_seconds())
                ),
            },
        )
    ]


def test_rent_writes_the_intent_before_the_order_leaves() -> None:
    world = a_world()
    world.market.errors["create"] = [RuntimeError("the process dies")]

    with pytest.raises(RuntimeError):
        world.run(JOB)

    assert (world.rental().state, world.rental().contract_id) == (RentalState.INTENDED, None)


def test_rent_asks_the_market_for_what_the_request_says() -> None:
    world = a_world()
    world.run(JOB, min_dph=0.2, max_dph=0.7, reliability=0.95, min_vram_mb=12_000)

    (requirements,) = world.market.called("search")
    assert (requirements.min_usd_per_hour, requirements.max_usd_per_hour) == (Decimal("0.2"), Decimal("0.7"))  # type: ignore[attr-defined]
    assert (requirements.reliability_ratio, requirements.vram_mb) == (0.95, 12_000)  # type: ignore[attr-defined]
    assert requirements.time_needed == timedelta(minutes=65)  # type: ignore[attr-defined]


def test_rent_needs_a_machine_for_as_long_as_it_may_be_kept() -> None:
    world = a_world()
    world.run(JOB, vastai_stop_instance=False, keep_seconds=60)

    assert world.rental().ceiling_at == JOB.deadline_at + timedelta(minutes=5, seconds=60)


def test_net_on_the_machine_fires_a_quarter_of_an_hour_after_what_this_job_asked_for() -> None:
    world = a_world()
    world.run(JOB, vastai_stop_instance=False, keep_seconds=60)

    (order,) = world.market.orders
    fires_at = JOB.deadline_at + timedelta(minutes=5 + 15, seconds=60)
    assert order.env["RUNE_EXPIRES_AT"] == str(int(fires_at.timestamp()))


@pytest.mark.parametrize(("min_vram_mb", "disk_gb"), [(None, 9 + 32), (36_000, 41 + 32)])
def test_rent_takes_the_smallest_model_whatever_the_offer_holds_when_a_stored_request_names_none(
    min_vram_mb: int | None, disk_gb: int
) -> None:
    world = a_world()
    world.market.offers = (an_offer(vram_mb=80_000),)

    world.run(a_renting_job(kind=Kind.LLM_INSTANCE), model=None, min_vram_mb=min_vram_mb)

    assert (world.rental().model, world.rental().machine.disk_gb) == ("llama3.1:8b", disk_gb)


def test_rent_orders_nothing_for_a_job_that_would_be_over_before_its_model_is_loaded() -> None:
    world = a_world()

    outcome = world.run(replace(JOB, deadline_at=after(20)))

    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.is_final) == ("max_runtime_too_short", True)
    assert outcome.sentence == (
        "The model would be loaded after some 63 s on the fastest offer that fits, and the job has 20 s left."
    )
    assert outcome.notes[0].labels["rejected"] == "27182 too_late"
    assert world.attempts == ()
    assert world.market.called("create") == []


def test_rent_fails_with_every_flaw_told_when_no_offer_fits() -> None:
    world = a_world()
    world.market.offers = (
        an_offer(offer_id=1, machine_id=1, vram_mb=4000),
        an_offer(offer_id=2, machine_id=2, vram_mb=4000),
    )

    outcome = world.run(JOB)

    note = Note("vastai.offer_search", {"fitting": "0", "rejected": "1 vram; 2 vram"}, duration_ms=0)
    assert outcome == Failed("no_offer_fits", "None of 2 offers fits: vram 2.", retryable=True, notes=(note,))
    assert (world.market.orders, world.attempts) == ([], ())


def test_rent_fails_with_a_sentence_of_its_own_when_there_is_no_offer() -> None:
    world = a_world()
    world.market.offers = ()

    outcome = world.run(JOB)

    sentence = "Vast.ai has no offer with the memory, disk, reliability and price that the job asks for."
    note = Note("vastai.offer_search", {"fitting": "0", "rejected": ""}, duration_ms=0)
    assert outcome == Failed("no_offer_fits", sentence, retryable=True, notes=(note,))


def test_job_that_is_too_dear_is_told_what_is_left_of_its_own_money() -> None:
    failed = too_dear(JOB, Decimal("0.0814"), 10_000)

    assert failed.code == "cost_cap_too_low"
    assert failed.sentence == (
        "It would cost 0.0814 USD on the cheapest offer, and only 0.0100 USD is left of its max_cost_usd."
    )


def test_rent_fails_for_good_when_the_template_is_unknown() -> None:
    world = a_world()

    outcome = world.run(JOB, template_hash="unknown")

    assert outcome == Failed("template_not_found", "Vast.ai has no such template.", retryable=False)
    assert [name for name, _ in world.market.calls] == ["find_template"]


def test_rent_fails_for_good_when_the_tenant_may_no_longer_name_the_template() -> None:
    world = a_world()
    world.market.templates["taken-away"] = Template("taken-away", "i", "", disk_gb=90, starts_itself=True)

    outcome = world.run(JOB, template_hash="taken-away")

    assert outcome == Failed("template_not_allowed", TEMPLATE_NOT_ALLOWED, retryable=False)
    assert world.market.calls == []


@pytest.mark.parametrize(("image", "script"), [("ollama/ollama:0.9.0", SCRIPT), ("vllm/vllm:1", None)])
def test_rent_orders_the_template_and_its_own_start_unless_it_is_ollamas(
    image: str, script: str | None
) -> None:
    world = a_world()
    world.market.offers = (an_offer(cuda_version=13.0),)
    world.market.templates["h"] = Template("h", image, "", disk_gb=90, starts_itself=True)

    world.run(JOB, template_hash="h")

    (order,) = world.market.orders
    assert (order.template_hash, order.image, order.script, order.disk_gb) == ("h", None, script, 90)
    assert ("RUNE_EXPIRES_AT" in order.env) is (script is not None)
    assert (world.rental().template_hash, world.rental().has_self_destruct) == ("h", script is not None)


@pytest.mark.parametrize(
    ("image", "image_gb"), [("docker.io/ollama/ollama:0.9.0", 2), ("vllm/vllm-openai:latest", 15), ("", 15)]
)
def test_rent_counts_an_image_that_is_not_ollamas_at_its_largest(image: str, image_gb: int) -> None:
    world = a_world()
    world.market.offers = (an_offer(cuda_version=13.0),)
    world.market.templates["h"] = Template("h", image, "", disk_gb=40, starts_itself=True)

    world.run(JOB, template_hash="h")

    assert world.rental().image_bytes == image_gb * 1_000_000_000
    assert world.attempts[0].prices.download_micro_usd_per_gb == 2_000


@pytest.mark.parametrize(
    ("workload", "flags", "parallel", "known"),
    [
        (None, None, None, 1),
        ({"concurrency": [1, 4], "output_tokens": 64}, None, "4", 4),
        ({"concurrency": [1, 4], "output_tokens": 64}, "-e OLLAMA_KEEP_ALIVE=-1", "4", 4),
        ({"concurrency": [1, 4], "output_tokens": 64}, "-e OLLAMA_NUM_PARALLEL=2", None, 0),
    ],
)
def test_rent_tells_the_server_how_many_the_workload_has_under_way(
    workload: dict[str, object] | None, flags: str | None, parallel: str | None, known: int
) -> None:
    world = a_world()
    asked: dict[str, object] = {} if workload is None else {"workload": workload}
    if flags is not None:
        world.market.templates["h"] = Template(
            "h", "ollama/ollama:0.9.0", flags, disk_gb=40, starts_itself=True
        )
        asked["template_hash"] = "h"

    world.run(JOB, **asked)

    assert world.market.orders[0].env.get("OLLAMA_NUM_PARALLEL") == parallel
    assert world.rental().parallel_count == known


@pytest.mark.parametrize(
    ("flags", "context"), [("-e OLLAMA_KEEP_ALIVE=-1", "8192"), ("-e OLLAMA_CONTEXT_LENGTH=65536", None)]
)
def test_rent_leaves_the_context_to_a_template_that_names_one(flags: str, context: str | None) -> None:
    world = a_world()
    world.market.templates["h"] = Template("h", "ollama/ollama:0.9.0", flags, disk_gb=40, starts_itself=True)

    world.run(JOB, template_hash="h")

    assert world.market.orders[0].env.get("OLLAMA_CONTEXT_LENGTH") == context


@pytest.mark.parametrize(
    ("state", "step"),
    [
        (RentalState.INTENDED, StepName.RECONCILE),
        (RentalState.CREATED, StepName.BOOT),
        (RentalState.RUNNING, StepName.BOOT),
        (RentalState.RELEASING, StepName.RELEASE),
    ],
)
def test_rent_goes_on_with_the_machine_that_the_rental_store_tells_of(
    state: RentalState, step: StepName
) -> None:
    world = a_world(ALIVE[state](), seconds=600)

    outcome = world.run(JOB)

    assert isinstance(outcome, Next)
    assert (outcome.step, outcome.spending.rental_id) == (step, RENTAL_ID)
    assert world.market.calls == []


@pytest.mark.parametrize(
    ("endpoint", "delay_seconds"), [(Endpoint.SEARCH, 3), (Endpoint.ACCOUNT, 3), (Endpoint.CREATE, 3)]
)
def test_rent_comes_again_when_it_is_not_its_turn_and_has_written_nothing(
    endpoint: Endpoint, delay_seconds: int
) -> None:
    world = a_world()
    world.provider_limits.back_off(endpoint, after(3))

    assert world.run(JOB) == Again(delay_seconds)
    assert (world.attempts, world.market.orders) == ((), [])


def test_rent_comes_again_when_the_search_is_asked_for_too_often() -> None:
    world = a_world()
    world.market.errors["search"] = [ProviderBusyError("Too often.", 7)]

    assert world.run(JOB) == Again(7)


@pytest.mark.parametrize(
    ("orders", "contracts"), [(MAX_ORDERS, 0), (MAX_MACHINES, MAX_MACHINES)], ids=["orders", "machines"]
)
def test_rent_fails_when_enough_was_tried(orders: int, contracts: int) -> None:
    tried = [gone(n, contract_id=n if n <= contracts else None) for n in range(1, orders + 1)]
    world = a_world(*tried, seconds=600)

    outcome = world.run(JOB)

    assert isinstance(outcome, Failed)
    assert outcome.code == "rental_failed"
    assert f"{orders} offers" in outcome.sentence
    assert outcome.is_final
    assert world.market.calls == []


def test_rent_tells_what_the_last_machine_said_when_enough_was_tried() -> None:
    said = "The download stood still."
    tried = [gone(n, contract_id=n, end_reason=EndReason.MODEL_FAILED, end_detail=said) for n in (1, 2, 3)]

    outcome = a_world(*tried, seconds=600).run(JOB)

    assert isinstance(outcome, Failed)
    assert outcome.sentence == f"3 offers were ordered, and none worked: model_failed 3. The last: {said}"


def test_rent_never_orders_a_machine_that_failed_the_job_before() -> None:
    failed = gone(1, end_reason=EndReason.BOOT_FAILED, machine=replace(a_rental().machine, machine_id=27_182))
    world = a_world(failed, seconds=600)

    outcome = world.run(JOB)

    assert isinstance(outcome, Failed)
    assert outcome.notes[0].labels["rejected"] == "27182 failed_before"


@pytest.mark.parametrize(("phases_ms", "search_ms"), [({}, 4000), ({"search": 700}, 700)])
def test_rent_tells_how_long_the_search_took_of_a_worker_that_was_lost(
    phases_ms: dict[str, int], search_ms: int
) -> None:
    world = a_world(a_created_rental(intended_at=after(4)), seconds=90)

    outcome = world.run(a_renting_job(phases_ms=phases_ms, started_at=NOW))

    assert isinstance(outcome, Next)
    assert outcome.phases_ms == {"search": search_ms}


def test_rent_leaves_a_host_alone_that_failed_another_job_lately() -> None:
    world = a_world()
    world.market.offers = (an_offer(), an_offer(offer_id=2, machine_id=2, price_usd_per_hour=Decimal("0.4")))
    world.hosts = MemoryHostStore({27_182: HostRecord(1, NOW)})

    outcome = world.run(JOB)

    assert isinstance(outcome, Next)
    assert outcome.notes[0].labels["rejected"] == "27182 failed_lately"
    assert world.rental().machine.machine_id == 2


class UnreachableHosts(MemoryHostStore):
    def read(self, machine_ids: Collection[int], now: datetime) -> Mapping[int, HostRecord]:
        raise StoreUnavailableError("Down.")


def test_rent_chooses_without_what_is_known_of_hosts_when_that_cannot_be_read() -> None:
    world = a_world()
    world.hosts = UnreachableHosts()

    assert isinstance(world.run(JOB), Next)


def test_search_leaves_what_it_has_seen_of_the_market() -> None:
    world = a_world()
    world.market.offers = (an_offer(disk_gb=812.0), an_offer(offer_id=2, is_verified=False))

    world.run(JOB)

    (row,) = world.seen.read(world.clock.now())
    assert [offer.offer_id for offer in row.offers] == [31_415_926, 2]
    assert (row.as_of, row.offer_count, row.scope.class_gb) == (NOW, 2, 8)


def test_search_that_finds_nothing_says_so_too() -> None:
    world = a_world()
    world.market.offers = ()

    assert isinstance(world.run(JOB), Failed)

    (row,) = world.seen.read(world.clock.now())
    assert (row.offers, row.offer_count) == ((), 0)


class UnreachableMarket(MemoryMarketStore):
    def note(self, row: MarketRow) -> None:
        raise StoreUnavailableError("Down.")


def test_rent_goes_on_when_what_it_has_seen_cannot_be_kept() -> None:
    world = a_world()
    world.seen = UnreachableMarket()

    assert isinstance(world.run(JOB), Next)
