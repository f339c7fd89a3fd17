"""Steps of suspended tenants, and keys that changed while a step ran."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import override

import pytest

from rune.errors import (
    ServerAccessError,
    ServerUnreachableError,
    SettingsUnavailableError,
    StoreUnavailableError,
)
from rune.jobs.outcomes import Again, Cancelled, Failed, Next, Outcome
from rune.jobs.record import RELEASING, Kind, StepName
from rune.jobs.step import StepContext
from rune.net.addresses import AddressPolicy
from rune.tenants.settings import TenantSettings, TenantSource
from rune.workflows.registry import make_steps
from rune.workflows.tenant_access import SETTINGS_DELAY_SECONDS, heeding_tenant
from tests.fake_model_server import FakeModelServer
from tests.measuring import a_tool_box
from tests.tenant_builders import a_tenant
from tests.unit.workflows.rental.world import a_world
from tests.unit.workflows.turns import a_context

DONE = Next(StepName.MEASURE)
REFUSED = ServerAccessError("Who are you?")


def with_key(key: str, **more: object) -> TenantSettings:
    document: Mapping[str, object] = {
        "credentials": {"lab": {"api_key": key, "url": "https://llm.example"}},
        **more,
    }
    return a_tenant(document)


@dataclass
class Tenants(TenantSource):
    """What is known before a step, and what another look finds."""

    before: TenantSettings = field(default_factory=TenantSettings)
    after: TenantSettings = field(default_factory=TenantSettings)
    is_away: bool = False
    reread_count: int = 0

    @override
    def recall(self, tenant: str) -> TenantSettings:
        return self.of(tenant)

    @override
    def of(self, tenant: str) -> TenantSettings:
        if self.is_away:
            raise SettingsUnavailableError("Away.")
        return self.before

    @override
    def reread(self, tenant: str) -> TenantSettings:
        self.reread_count += 1
        return self.after


def run(
    tenants: TenantSource,
    error: Exception | None = None,
    ran: list[StepContext] | None = None,
    refused_count: int = 9,
) -> Outcome:
    runs = [] if ran is None else ran

    async def step(context: StepContext) -> Outcome:
        runs.append(context)
        if error and len(runs) <= refused_count:
            raise error
        return DONE

    async def main() -> Outcome:
        return await heeding_tenant(step, tenants)(a_context())

    return asyncio.run(main())


def test_step_of_a_tenant_runs() -> None:
    assert run(Tenants()) == DONE


def test_step_of_a_suspended_tenant_does_not_run() -> None:
    ran: list[StepContext] = []

    outcome = run(Tenants(TenantSettings(is_suspended=True)), ran=ran)

    assert outcome == Failed("tenant_suspended", "The tenant is suspended.", retryable=False)
    assert ran == []


def test_step_that_winds_down_does_that_alone_for_a_suspended_tenant() -> None:
    context = a_context(Kind.AGENTIC_AGENT)
    context.job = replace(context.job, step=StepName.RUN_AGENT)

    async def step(given: StepContext) -> Outcome:
        return Cancelled() if given.ends_with is None else given.ends_with

    outcome = asyncio.run(heeding_tenant(step, Tenants(TenantSettings(is_suspended=True)))(context))

    assert outcome == Failed("tenant_suspended", "The tenant is suspended.", retryable=False)


def test_step_runs_again_when_its_key_was_refused_and_has_changed() -> None:
    tenants = Tenants(with_key("old-key-of-the-lab"), with_key("new-key-of-the-lab"))
    ran: list[StepContext] = []

    assert run(tenants, REFUSED, ran, refused_count=1) == DONE
    assert (len(ran), tenants.reread_count) == (2, 1)


def test_step_runs_again_once_when_the_new_key_is_refused_too() -> None:
    tenants = Tenants(with_key("old-key-of-the-lab"), with_key("new-key-of-the-lab"))
    ran: list[StepContext] = []

    with pytest.raises(ServerAccessError):
        run(tenants, REFUSED, ran)
    assert len(ran) == 2


@pytest.mark.parametrize(
    "after", [with_key("old-key-of-the-lab"), with_key("old-key-of-the-lab", templates=["h"])]
)
def test_refusal_is_handed_on_when_no_key_has_changed(after: TenantSettings) -> None:
    tenants = Tenants(with_key("old-key-of-the-lab"), after)

    with pytest.raises(ServerAccessError):
        run(tenants, REFUSED)
    assert tenants.reread_count == 1


def test_other_failures_read_no_settings_again() -> None:
    tenants = Tenants()

    with pytest.raises(ServerUnreachableError):
        run(tenants, ServerUnreachableError("Nobody."))
    assert tenants.reread_count == 0


def test_step_that_needs_no_settings_runs_while_they_cannot_be_read() -> None:
    assert run(Tenants(is_away=True)) == DONE


def test_step_that_needs_settings_comes_again_while_they_cannot_be_read() -> None:
    assert run(Tenants(), SettingsUnavailableError("Away.")) == Again(SETTINGS_DELAY_SECONDS, {})


def test_other_stores_failures_are_handed_on() -> None:
    with pytest.raises(StoreUnavailableError):
        run(Tenants(), StoreUnavailableError("Away."))


def test_every_step_but_teardown_heeds_suspension() -> None:
    world = a_world()
    suspended = Tenants(TenantSettings(is_suspended=True))
    steps = make_steps(
        FakeModelServer().open, suspended, AddressPolicy(), world.dependencies, measuring=a_tool_box()
    )

    async def fails(name: StepName) -> bool:
        try:
            outcome = await steps[name](a_context())
        except Exception:  # noqa: BLE001  # whatever it did, it ran
            return False
        return outcome == Failed("tenant_suspended", "The tenant is suspended.", retryable=False)

    heeding = {name for name in steps if asyncio.run(fails(name))}
    assert heeding == set(StepName) - {StepName.RECONCILE, *RELEASING}
