from pathlib import Path

import pytest

from local.settings import StackSettings


def test_settings_have_defaults_when_nothing_is_set() -> None:
    assert StackSettings.from_environment({}) == StackSettings()


def test_settings_take_empty_variables_as_absent() -> None:
    assert StackSettings.from_environment({"PORT": "", "ALLOWED_NETWORKS": ""}) == StackSettings()


def test_settings_are_read_from_the_environment() -> None:
    given = {
        "PORT": "9000",
        "EMULATOR_PORT": "4566",
        "RUNE_API_TOKENS": "team:secret",
        "ALLOWED_NETWORKS": "10.0.0.0/8, ::1/128",
        "API_CONCURRENCY": "2",
        "RUNNING_JOBS": "9",
        "SIMULATORS": "0",
        "RUNE_TENANTS": '{"team": {}}',
        "STACK_FILE": "/elsewhere/stack.json",
    }
    assert StackSettings.from_environment(given) == StackSettings(
        port=9000,
        emulator_port=4566,
        api_tokens="team:secret",
        allowed_networks="10.0.0.0/8,::1/128",
        api_concurrency=2,
        running_jobs=9,
        with_simulators=False,
        tenants='{"team": {}}',
        state_path=Path("/elsewhere/stack.json"),
    )


@pytest.mark.parametrize(
    ("name", "value"), [("PORT", "http"), ("PORT", "65536"), ("PORT", "-1"), ("SIMULATORS", "yes")]
)
def test_settings_name_the_variable_that_cannot_be_read(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be a number"):
        StackSettings.from_environment({name: value})
