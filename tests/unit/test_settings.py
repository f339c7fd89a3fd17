from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta

import pytest

from api.settings import ApiSettings
from janitor.settings import JanitorSettings, ScheduleSettings
from notifier.settings import NotifierSettings
from rune.errors import SettingsError
from rune.jobs.plan import Lane
from rune.money.limits import SpendingLimits
from rune.services.jobs import JobLimits
from rune.settings import BedrockAccess, VastaiSettings
from rune.tenants.rates import RateLimits
from tests.spending import FRESH
from worker.settings import WorkerSettings

LENT = {
    "RUNE_TENANTS_PATH": "/rune/dev/tenants",
    "RUNE_BEDROCK_ACCESS": "true",
    "RUNE_BEDROCK_URL": " https://bedrock.example ",
    "AWS_REGION": "eu-north-1",
}
API = {
    **LENT,
    "RUNE_STAGE": "dev",
    "RUNE_TABLE": "table",
    "RUNE_BUCKET": "bucket",
    "RUNE_MONEY_QUEUE_URL": "https://sqs/money",
    "RUNE_INFERENCE_QUEUE_URL": "https://sqs/inference",
    "RUNE_NOTICE_QUEUE_URL": "https://sqs/notice",
    "RUNE_ALLOWED_NETWORKS": "10.0.0.0/8",
    "RUNE_API_AUTH_DISABLED": "true",
    "RUNE_RETENTION_DAYS": "30",
    "RUNE_QUEUE_TIMEOUT_SECONDS": "86400",
    "RUNE_MAX_RUNTIME_SECONDS": "3600",
    "RUNE_MAX_COST_USD": "10",
    "RUNE_SPENDING_LIMITS": FRESH,
    "RUNE_RUNNING_JOBS": "5",
    "RUNE_TENANT_POLLS_PER_SECOND": "50",
    "RUNE_TENANT_SUBMITS_PER_SECOND": "20",
    "RUNE_API_DOCS": "true",
    "RUNE_CAN_RENT": "true",
    "RUNE_SIGNING_KEY_PARAMETER": "/rune/dev/signing-key",
}
VAST = {
    "VAST_API_URL": "https://vast.example",
    "VAST_API_KEY_PARAMETER": "/rune/vastai",
    "VAST_IMAGE": "ollama/ollama:0.33.0",
}
WORKER = {
    **LENT,
    **VAST,
    "RUNE_STAGE": "dev",
    "RUNE_LANE": "inference",
    "RUNE_TABLE": "table",
    "RUNE_BUCKET": "bucket",
    "RUNE_MONEY_QUEUE_URL": "https://sqs/money",
    "RUNE_INFERENCE_QUEUE_URL": "https://sqs/inference",
    "RUNE_NOTICE_QUEUE_URL": "https://sqs/notice",
    "RUNE_DEAD_LETTER_QUEUE_URL": "https://sqs/dead",
    "RUNE_ALLOWED_NETWORKS": "10.0.0.0/8",
    "RUNE_RUNNING_JOBS": "5",
    "RUNE_SPENDING_LIMITS": FRESH,
}
JANITOR = {
    **VAST,
    "RUNE_STAGE": "dev",
    "RUNE_TABLE": "table",
    "RUNE_MONEY_QUEUE_URL": "https://sqs/money",
    "RUNE_INFERENCE_QUEUE_URL": "https://sqs/inference",
    "RUNE_NOTICE_QUEUE_URL": "https://sqs/notice",
    "RUNE_RUNNING_JOBS": "5",
    **LENT,
    "RUNE_BUCKET": "bucket",
    "RUNE_ALLOWED_NETWORKS": "10.0.0.0/8",
}


BEDROCK = BedrockAccess(is_allowed=True, url="https://bedrock.example", region="eu-north-1")
VASTAI = VastaiSettings(
    stage="dev",
    api_url="https://vast.example",
    api_key_parameter="/rune/vastai",
    image="ollama/ollama:0.33.0",
)


def test_api_settings_read_the_environment() -> None:
    assert ApiSettings.from_environment(API) == ApiSettings(
        stage="dev",
        table="table",
        bucket="bucket",
        money_queue_url="https://sqs/money",
        inference_queue_url="https://sqs/inference",
        notice_queue_url="https://sqs/notice",
        allowed_networks="10.0.0.0/8",
        auth_disabled=True,
        tenants_path="/rune/dev/tenants",
        signing_key_parameter="/rune/dev/signing-key",
        bedrock=BEDROCK,
        with_docs=True,
        can_rent=True,
        limits=JobLimits(
            timedelta(days=1), timedelta(hours=1), timedelta(days=30), 10_000_000, spending=SpendingLimits()
        ),
        running_jobs=5,
        rates=RateLimits(polls_per_second=50, submits_per_second=20),
    )


def test_worker_settings_read_the_environment() -> None:
    assert WorkerSettings.from_environment(WORKER) == WorkerSettings(
        lane="inference",
        table="table",
        bucket="bucket",
        money_queue_url="https://sqs/money",
        inference_queue_url="https://sqs/inference",
        notice_queue_url="https://sqs/notice",
        dead_letter_queue_url="https://sqs/dead",
        allowed_networks="10.0.0.0/8",
        tenants_path="/rune/dev/tenants",
        bedrock=BEDROCK,
        vastai=VASTAI,
        running_jobs=5,
        spending=SpendingLimits(),
        region="eu-north-1",
    )


def test_worker_settings_know_where_they_run_when_aws_says_so() -> None:
    in_lambda = {"AWS_REGION": "eu-north-1", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024"}

    settings = WorkerSettings.from_environment({**WORKER, **in_lambda})

    assert (settings.region, settings.memory_mb) == ("eu-north-1", 1024)


def test_notifier_settings_read_the_environment() -> None:
    environment = {
        "RUNE_STAGE": "dev",
        "RUNE_TABLE": "table",
        "RUNE_DEAD_LETTER_QUEUE_URL": "https://sqs/dead",
        "RUNE_NOTICE_QUEUE_URL": "https://sqs/notice",
        "RUNE_BUCKET": "bucket",
        "RUNE_RETENTION_DAYS": "30",
    }

    settings = NotifierSettings.from_environment(environment)
    assert (settings.retention, settings.signing_key_parameter) == (timedelta(days=30), "")
    assert (settings.table, settings.notice_queue_url) == ("table", "https://sqs/notice")
    assert (settings.event_bus, settings.archive_bucket) == ("", "")
    assert NotifierSettings.from_environment({**environment, "RUNE_EVENT_BUS": "b"}).event_bus == "b"


def test_janitor_settings_read_the_environment() -> None:
    assert JanitorSettings.from_environment(JANITOR) == JanitorSettings(
        table="table",
        money_queue_url="https://sqs/money",
        inference_queue_url="https://sqs/inference",
        notice_queue_url="https://sqs/notice",
        vastai=VASTAI,
        running_jobs=5,
        schedules=ScheduleSettings(
            bucket="bucket",
            allowed_networks="10.0.0.0/8",
            tenants_path="/rune/dev/tenants",
            bedrock=BEDROCK,
        ),
        has_webhooks=False,
    )


def test_deployment_has_no_account_when_there_is_no_key() -> None:
    without = {name: text for name, text in JANITOR.items() if not name.startswith("VAST_API_KEY")}

    assert not JanitorSettings.from_environment(without).vastai.is_present
    assert JanitorSettings.from_environment(JANITOR).vastai.is_present


OPTIONAL = {
    *LENT,
    *VAST,
    "RUNE_CAN_RENT",
    "RUNE_SIGNING_KEY_PARAMETER",
    "RUNE_ALLOWED_NETWORKS",
    "RUNE_API_AUTH_DISABLED",
    "RUNE_API_DOCS",
}
READERS: list[tuple[Callable[[Mapping[str, str]], object], Mapping[str, str]]] = [
    (ApiSettings.from_environment, API),
    (WorkerSettings.from_environment, WORKER),
    (JanitorSettings.from_environment, JANITOR),
]
NEEDED = [(read, given, name) for read, given in READERS for name in given if name not in OPTIONAL]


@pytest.mark.parametrize("value", [None, "", "  "], ids=["absent", "empty", "blank"])
@pytest.mark.parametrize(("read", "given", "name"), NEEDED)
def test_settings_name_the_variable_when_it_is_missing(
    read: Callable[[Mapping[str, str]], object], given: Mapping[str, str], name: str, value: str | None
) -> None:
    environment = {key: text for key, text in given.items() if key != name}
    if value is not None:
        environment[name] = value

    with pytest.raises(SettingsError, match=f"^{name} must be"):
        read(environment)


def test_settings_do_without_what_is_optional() -> None:
    read = ApiSettings.from_environment({key: text for key, text in API.items() if key not in OPTIONAL})

    assert (read.allowed_networks, read.auth_disabled) == ("", False)
    assert read.tenants_path == ""
    assert read.bedrock == BedrockAccess(is_allowed=False, url="", region="")


def test_region_is_the_one_that_people_set_where_lambda_sets_none() -> None:
    read = BedrockAccess.from_environment({"AWS_DEFAULT_REGION": "eu-west-1"})

    assert read.region == "eu-west-1"


NUMBERS = [(read, given, name) for read, given, name in NEEDED if given[name].isdecimal()]


def test_numbers_of_the_settings_are_those_that_say_how_long_and_how_many() -> None:
    assert {name for _, _, name in NUMBERS} == {
        "RUNE_RETENTION_DAYS",
        "RUNE_QUEUE_TIMEOUT_SECONDS",
        "RUNE_MAX_RUNTIME_SECONDS",
        "RUNE_MAX_COST_USD",
        "RUNE_RUNNING_JOBS",
        "RUNE_TENANT_POLLS_PER_SECOND",
        "RUNE_TENANT_SUBMITS_PER_SECOND",
    }


@pytest.mark.parametrize(("read", "given", "name"), NUMBERS)
@pytest.mark.parametrize("value", ["0", "-1", "1.5", "1e3", "ten", "٣", "0x10", "1_000", "+1"])
def test_settings_refuse_what_is_no_whole_number(
    read: Callable[[Mapping[str, str]], object], given: Mapping[str, str], name: str, value: str
) -> None:
    with pytest.raises(SettingsError, match=f"^{name} must be a whole number above 0"):
        read({**given, name: value})


@pytest.mark.parametrize("lane", ["money", "inference", " money "])
def test_worker_settings_take_a_lane_that_there_is(lane: str) -> None:
    assert WorkerSettings.from_environment({**WORKER, "RUNE_LANE": lane}).lane == lane.strip()


@pytest.mark.parametrize("lane", ["Money", "INFERENCE", "gpu", "money,inference"])
def test_worker_settings_refuse_a_lane_that_there_is_not(lane: str) -> None:
    with pytest.raises(SettingsError, match=r"^RUNE_LANE must be one of money, inference, load\."):
        WorkerSettings.from_environment({**WORKER, "RUNE_LANE": lane})


def test_lanes_of_the_settings_are_those_of_the_plan() -> None:
    lanes = [WorkerSettings.from_environment({**WORKER, "RUNE_LANE": lane}).lane for lane in Lane]

    assert lanes == [*Lane]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("true", True),
        ("TRUE", True),
        (" yes ", True),
        ("1", True),
        ("on", True),
        ("false", False),
        ("no", False),
        ("0", False),
        ("off", False),
        ("", False),
    ],
)
def test_flag_is_read_as_people_write_it(value: str, *, expected: bool) -> None:
    read = ApiSettings.from_environment({**API, "RUNE_API_AUTH_DISABLED": value})

    assert read.auth_disabled is expected


@pytest.mark.parametrize("value", ["maybe", "2", "disabled", "None"])
def test_flag_is_refused_when_it_is_neither(value: str) -> None:
    with pytest.raises(SettingsError, match=r"^RUNE_API_AUTH_DISABLED must be true or false"):
        ApiSettings.from_environment({**API, "RUNE_API_AUTH_DISABLED": value})
