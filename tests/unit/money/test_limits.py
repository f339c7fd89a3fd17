import pytest

from rune.errors import SettingsError
from rune.money.budgets import Limits
from rune.money.limits import NO_LIMITS_OF_ITS_OWN, VARIABLE, SpendingLimits, TenantSpending
from rune.tenants.settings import TenantSettings
from tests.spending import FRESH


def test_limits_of_a_fresh_deployment_are_the_defaults() -> None:
    assert SpendingLimits.from_environment({VARIABLE: FRESH}) == SpendingLimits()


def test_limits_are_read_in_dollars() -> None:
    given = FRESH.replace("max_dph=10", "max_dph=0.123456").replace("max_machines=5", "max_machines=0")

    limits = SpendingLimits.from_environment({VARIABLE: given})

    assert (limits.max_dph_micro_usd, limits.max_machines) == (123_456, 0)


@pytest.mark.parametrize(
    "given",
    [
        FRESH.replace("max_dph=10", "max_dph="),
        FRESH.replace("max_dph=10", "max_dph=-1"),
        FRESH.replace("max_dph=10", "max_dph=1e3"),
        FRESH.replace("max_dph=10", "max_dph=unlimited"),
        FRESH.replace(",max_dph=10", ""),
        FRESH + ",max_dph=11",
        FRESH + ",other=1",
    ],
)
def test_limits_are_refused_when_one_is_missing_or_no_number(given: str) -> None:
    with pytest.raises(SettingsError, match=VARIABLE):
        SpendingLimits.from_environment({VARIABLE: given})


def test_tenant_has_its_own_limits_where_its_document_says_so() -> None:
    settings = TenantSettings(
        daily_budget_micro_usd=0,
        monthly_budget_micro_usd=2,
        max_machines=3,
        max_micro_usd_per_hour=4,
        max_dph_micro_usd=5,
    )

    limits = SpendingLimits().for_tenant(TenantSpending.of(settings))

    assert limits == SpendingLimits(0, 2, 200_000_000, 2_000_000_000, 3, 4, 5)
    assert limits.budgets == Limits(0, 2, 200_000_000, 2_000_000_000)
    assert limits.most_dph_micro_usd == 4
    assert SpendingLimits().for_tenant(NO_LIMITS_OF_ITS_OWN) == SpendingLimits()
    assert SpendingLimits().most_dph_micro_usd == 10_000_000
