"""Vast.ai's own client against the simulator: what it prints, and what it asks."""

import json
import os
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.simulators.serving import running_server
from local.simulators.vastai import BootScript, SimulatedOffer, VastaiSettings
from local.simulators.vastai.app import create_app
from local.simulators.vastai.local_stack import LocalVastai, quick_settings

CLIENT = Path(__file__).parents[3] / ".local" / "venvs" / "vastai" / "bin" / "vastai"
CALL_TIMEOUT_SECONDS = 60
HASH = "4e17788f74f075dd9aab7d0d4427968f"
FIRST, SECOND = 12_345_678, 12_345_679
CARD = SimulatedOffer(
    offer_id=111, machine_id=27_111, gpu_name="RTX 4090", gpu_usd_per_hour=0.3467, gpu_ram_mb=24_564
)
OFFERS = (CARD, replace(CARD, offer_id=112, machine_id=27_112, gpu_name="RTX 3090", gpu_usd_per_hour=0.2))
INSTANT = BootScript(null_seconds=0, loading_seconds=0, restart_seconds=0)
SETTINGS = replace(
    quick_settings(
        VastaiSettings(offers=OFFERS, rate_limits=False, log_delay_seconds=0.05, charges_lag_seconds=0.0)
    ),
    boot=INSTANT,
)
pytestmark = [pytest.mark.slow, pytest.mark.timeout(CALL_TIMEOUT_SECONDS + 20)]


@dataclass(frozen=True, slots=True)
class Command:
    """One command line and its expected effects.

    Attributes
    ----------
    asked
        Method, path and status of every request, without those that begin every command.
    body
        Members of the last request's body.
    printed
        Words of its output.
    rented
        Instances that exist before.
    """

    line: str
    asked: tuple[str, ...]
    printed: tuple[str, ...] = ()
    body: dict[str, Any] = field(default_factory=dict)
    rented: int = 0


ONE = f"/api/v0/instances/{FIRST}/"
LIST = "GET /api/v1/instances/ 200"
ENV = {"-p 11434:11434": "1", "MODEL": "llama3"}
COMMANDS = (
    Command("show user --raw", (), ('"credit": 100.0',)),
    Command(
        "search offers 'gpu_ram>=24 num_gpus=1 reliability>0.98 direct_port_count>=1 gpu_name in "
        "[RTX_4090,RTX_3090] geolocation notin [CN,RU] dph<0.6' -o dph_total --limit 20 --storage 40 --raw",
        ("POST /api/v0/bundles/ 200",),
        ('"id": 112', '"id": 111'),
        {"gpu_ram": {"gte": 24_000.0}, "num_gpus": {"eq": "1"}, "dph_total": {"lt": "0.6"}},
    ),
    Command(
        "search offers -n gpu_name=RTX_4090 --type bid --limit 3 --raw",
        ("POST /api/v0/bundles/ 200",),
        ('"is_bid": true', '"id": 111'),
        {"type": "bid", "limit": 3},
    ),
    Command(
        "search offers --new num_gpus=1 --limit 2 --raw",
        ("PUT /api/v0/search/asks/ 200",),
        ('"id": 111', '"id": 112'),
        {"select_cols": ["*"]},
    ),
    Command("search offers 'gpu_name=RTX_4090'", ("POST /api/v0/bundles/ 200",), ("RTX_4090", "27111")),
    Command(
        "create instance 111 --image ollama/ollama:latest --env '-p 11434:11434 -e MODEL=llama3' --disk 40 "
        "--label job-abc --onstart-cmd 'ollama serve' --raw",
        ("PUT /api/v0/asks/111/ 200",),
        (f'"new_contract": {FIRST}', '"success": true'),
        {"env": ENV, "runtype": "ssh", "onstart": "ollama serve", "label": "job-abc"},
    ),
    Command(
        "create instance 111 --image ollama/ollama:latest --env '-p 11434:11434' --disk 40 --ssh --direct "
        "--cancel-unavail --raw",
        ("PUT /api/v0/asks/111/ 200",),
        (f'"new_contract": {FIRST}',),
        {"runtype": "ssh_direc ssh_proxy", "cancel_unavail": True},
    ),
    Command(
        "create instance 111 --image ollama/ollama:latest --disk 40 --bid_price 0.18 --raw",
        ("PUT /api/v0/asks/111/ 200",),
        (f'"new_contract": {FIRST}',),
        {"price": 0.18},
    ),
    Command(
        "create instance 111 --image ollama/ollama:latest --disk 40 --entrypoint /bin/ollama --raw --args serve",
        ("PUT /api/v0/asks/111/ 200",),
        (f'"new_contract": {FIRST}',),
        {"runtype": "args", "onstart": "/bin/ollama", "args": ["serve"]},
    ),
    Command(
        f"create instance 111 --template_hash {HASH} --disk 40 --label job-abc --env '-e MODEL=llama3' --raw",
        ("PUT /api/v0/asks/111/ 200",),
        (f'"new_contract": {FIRST}',),
        {"template_hash_id": HASH, "image": None},
    ),
    Command(
        "create instance 999 --image ollama/ollama:latest --disk 40 --raw",
        ("PUT /api/v0/asks/999/ 404",),
        ('"status_code": 404', "no_such_ask"),
    ),
    Command(
        f"show instance {FIRST} --raw",
        (f"GET {ONE} 200",),
        ('"actual_status": "running"', '"11434/tcp"', '"public_ipaddr": "127.0.0.1"'),
        rented=1,
    ),
    Command(f"show instance {FIRST} --raw", (f"GET {ONE} 200",), ('"instances": null',)),
    Command("show instances --raw", (LIST,), (f'"id": {FIRST}', f'"id": {SECOND}'), rented=2),
    Command("show instances -q", (LIST,), (str(FIRST), str(SECOND)), rented=2),
    Command(
        "show instances",
        ("GET /api/v0/instances/filters/ 200", LIST),
        (str(FIRST), "Filterable Values"),
        rented=1,
    ),
    Command(
        "show instances --label rune-0 --status running loading --raw", (LIST,), (f'"id": {FIRST}',), rented=2
    ),
    Command(
        f"label instance {FIRST} job-xyz",
        (f"PUT {ONE} 200",),
        (f"label for {FIRST} set to job-xyz.",),
        {"label": "job-xyz"},
        rented=1,
    ),
    Command(
        f"stop instance {FIRST}", (f"PUT {ONE} 200",), ("stopping instance",), {"state": "stopped"}, rented=1
    ),
    Command(
        f"start instance {FIRST}", (f"PUT {ONE} 200",), ("starting instance",), {"state": "running"}, rented=1
    ),
    Command(
        f"change bid {FIRST} --price 0.2",
        (f"PUT /api/v0/instances/bid_price/{FIRST}/ 200",),
        ("bid price changed",),
        {"price": 0.2},
        rented=1,
    ),
    Command(
        f"logs {FIRST} --tail 50",
        (f"PUT /api/v0/instances/request_logs/{FIRST}/ 200", "GET log 200"),
        ("Listening on [::]:11434",),
        rented=1,
    ),
    Command(
        f"search templates hash_id={HASH}", ("GET /api/v0/template/ 200",), (f'"hash_id": "{HASH}"', "0.9.0")
    ),
    Command("search templates name=nothing --raw", ("GET /api/v0/template/ 200",), ("[]",)),
    Command(
        "show invoices-v1 --charges --raw",
        ("GET /api/v0/charges/ 200",),
        (f'"source": "instance-{FIRST}"', '"label": "rune-0"', '"type": "bwu"'),
        rented=1,
    ),
    Command("show invoices-v1 --charges", ("GET /api/v0/charges/ 200",), ("No results found",)),
    Command(f"destroy instance {FIRST} -y", (f"DELETE {ONE} 200",), ("destroying instance",), rented=1),
    Command(f"destroy instance {FIRST} -y", (f"DELETE {ONE} 404",), (f"Instance {FIRST} not found.",)),
    Command(
        f"destroy instances {FIRST} {SECOND} -y",
        ("DELETE /api/v0/instances/ 200",),
        (),
        {"instance_ids": [FIRST, SECOND]},
        rented=2,
    ),
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home directory for the client, which keeps the names of GPUs in it between commands."""
    assert CLIENT.exists(), (
        "Vast.ai's client is missing: sync requirements/vastai.txt into .local/venvs/vastai"
    )
    return tmp_path_factory.mktemp("vastai-home")


@pytest.fixture
def local() -> LocalVastai:
    local = LocalVastai.create(SETTINGS)
    # The client asks for charges until the last whole second, so one of this second would be missing.
    local.clock.skipped_seconds = -2.0
    return local


@pytest.fixture
def address(local: LocalVastai) -> Iterator[str]:
    with running_server(create_app(local)) as opened:
        yield opened


def run(line: str, address: str, home: Path, key: str = SETTINGS.api_key) -> str:
    """Return the client's output and error output; its exit code is always 0."""
    environment = {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_CACHE_HOME": str(home / "cache"),
        "XDG_STATE_HOME": str(home / "state"),
        "VAST_URL": address,
        "VAST_API_KEY": key,
        "VASTAI_NO_UPDATE_CHECK": "1",
        "PATH": os.defpath,
        "NO_COLOR": "1",
        "COLUMNS": "200",
    }
    done = subprocess.run(  # noqa: S603 # a command line of this file
        [str(CLIENT), *shlex.split(line)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=CALL_TIMEOUT_SECONDS,
        check=False,
    )
    return done.stdout + done.stderr


def rent(local: LocalVastai, address: str, count: int, *, bid: bool) -> None:
    for number, offer in enumerate(OFFERS[:count]):
        body = {"image": "ollama/ollama:latest", "runtype": "args", "disk": 40, "label": f"rune-{number}"}
        rented = httpx.put(
            f"{address}/api/v0/asks/{offer.offer_id}/",
            json=body | ({"price": 0.19} if bid else {}),
            headers={"Authorization": f"Bearer {SETTINGS.api_key}"},
        )
        assert rented.json()["success"] is True
    local.vastai.requests.records.clear()


def transcript(local: LocalVastai) -> tuple[str, ...]:
    """Return the requests, without those that begin every command and the polls of a log."""
    records = local.vastai.requests.select()
    opening = ("/api/v0/users/current", "/api/v0/gpu_names/unique/")
    shown = []
    for record in records:
        if record.path.startswith("/instance_logs/"):
            if record.status == 200:
                shown.append("GET log 200")
        elif record.path not in opening:
            shown.append(f"{record.method} {record.path} {record.status}")
    return tuple(shown)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.line[:60])
def test_official_client_is_answered(command: Command, local: LocalVastai, address: str, home: Path) -> None:
    rent(local, address, command.rented, bid="bid" in command.line)
    printed = run(command.line, address, home)
    assert "Traceback" not in printed
    assert transcript(local) == command.asked
    assert [words for words in command.printed if words not in printed] == []
    bodies = [record.body for record in local.vastai.requests.select() if isinstance(record.body, dict)]
    sent = bodies[-1] if bodies else {}
    assert {name: sent.get(name) for name in command.body} == command.body


def test_official_client_is_told_when_its_key_is_wrong(local: LocalVastai, address: str, home: Path) -> None:
    printed = run("show instances --raw", address, home, key="wrong")
    told = json.loads(printed.strip().splitlines()[-1])
    assert (told["status_code"], told["msg"]) == (404, "Invalid user key")
    assert transcript(local) == ("GET /api/v1/instances/ 404",)
