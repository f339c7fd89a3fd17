"""The log of a machine, read as the janitor reads it."""

import asyncio
from dataclasses import replace

import pytest

from local.simulators.serving import running_server
from local.simulators.vastai import BootScript, VastaiSettings
from local.simulators.vastai.app import create_app
from local.simulators.vastai.local_stack import LocalVastai, quick_settings
from rune.rentals.provider import Order
from rune.rentals.self_destruct import STARTED, make_script
from rune.rentals.vastai import VastAi
from rune.rentals.vastai_http import HttpVastaiTransport, fetch_log

INSTANT = BootScript(null_seconds=0, loading_seconds=0, restart_seconds=0)
SETTINGS = replace(quick_settings(VastaiSettings(rate_limits=False, log_delay_seconds=0.05)), boot=INSTANT)
OFFER_ID = SETTINGS.offers[0].offer_id


async def no_pause(_seconds: float) -> None:
    await asyncio.sleep(0.1)  # for the log to appear


@pytest.mark.parametrize(
    ("script", "is_shown"), [(make_script("https://console.vast.ai"), True), (None, False)]
)
def test_log_shows_whether_the_script_has_started(script: str | None, is_shown: bool) -> None:
    local = LocalVastai.create(SETTINGS)

    async def read(address: str) -> str:
        vastai = VastAi(HttpVastaiTransport(address, SETTINGS.api_key), no_pause, fetch_log)
        contract_id = await vastai.create(
            Order(OFFER_ID, "rune-x", 40, (11434,), image="ollama/ollama:0.13.0", script=script)
        )
        return await vastai.read_log(contract_id, 1000)

    with running_server(create_app(local)) as address:
        text = asyncio.run(read(address))

    assert "Listening on" in text
    assert (STARTED in text) is is_shown
