"""Two deployments of one stage on one account, seen through Vast.ai's own client."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from local.simulators.serving import running_server
from local.simulators.vastai.app import create_app
from local.simulators.vastai.local_stack import LocalVastai
from rune.clock import SystemClock
from rune.rentals.labels import make_label
from rune.rentals.paced_provider import PacedProvider
from rune.rentals.vastai import VastAi
from rune.rentals.vastai_http import HttpVastaiTransport
from rune.services.orphan_sweep import OrphanSweep
from tests.builders import JOB_ID
from tests.functional.simulators.test_vastai_official_client import CLIENT, SETTINGS, run
from tests.memory_job_store import MemoryJobStore
from tests.memory_rental_store import MemoryDeploymentStore, MemoryProviderLimits, MemoryRentalStore
from tests.rental_builders import OTHER_JOB_ID, an_old_label

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

STAGE, OURS, THEIRS = "dev", "0f1e2d3c4b", "a9b8c7d6e5"


def labels_seen(address: str, home: Path) -> list[str]:
    """Return the labels of all machines of the account, as the client lists them."""
    return [each["label"] for each in json.loads(run("show instances --raw", address, home))]


def sweep_once(address: str) -> None:
    """Let a janitor look that has no row of any machine, so that every machine with its label is an orphan."""
    provider = VastAi(HttpVastaiTransport(address, SETTINGS.api_key), asyncio.sleep)
    sweep = OrphanSweep(
        provider=PacedProvider(provider, MemoryProviderLimits(), SystemClock()),
        rental_store=MemoryRentalStore(),
        jobs=MemoryJobStore(),
        clock=SystemClock(),
        stage=STAGE,
        deployments=MemoryDeploymentStore(OURS),
        pause=asyncio.sleep,
    )
    asyncio.run(sweep.sweep(lambda: True))


def test_janitor_leaves_what_another_deployment_of_its_stage_has_ordered(tmp_path: Path) -> None:
    assert CLIENT.exists(), "Vast.ai's client is missing: `make setup` installs it"
    local = LocalVastai.create(SETTINGS)
    ours, theirs = make_label(STAGE, OURS, JOB_ID, 1), make_label(STAGE, THEIRS, OTHER_JOB_ID, 1)
    local.vastai.plant_foreign(an_old_label(stage=STAGE))
    with running_server(create_app(local)) as address:
        for offer, label in ((111, ours), (112, theirs)):
            order = f"create instance {offer} --image ollama/ollama:latest --disk 40 --label {label}"
            run(order, address, tmp_path)
        before = labels_seen(address, tmp_path)

        sweep_once(address)

        assert sorted(before) == sorted([ours, theirs, an_old_label(stage=STAGE)])
        assert sorted(labels_seen(address, tmp_path)) == sorted([theirs, an_old_label(stage=STAGE)])
