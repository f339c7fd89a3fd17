from dataclasses import replace
from typing import Any

import pytest

from local.simulators.vastai import BootFailure, BootScript, Loss
from tests.unit.local.vastai_caller import BOOT, OFFER, SETTINGS, Caller

EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 # docker's words, nothing is bound
PORTS = {"11434/tcp": [{"HostIp": ip, "HostPort": "40001"} for ip in EVERYWHERE]}


def with_boot(script: BootScript) -> Caller:
    return Caller(replace(SETTINGS, boot=script))


@pytest.mark.parametrize(
    ("after_seconds", "status", "ports"),
    [
        (0, None, None),
        (9.9, None, None),
        (10, "loading", None),
        (59.9, "loading", None),
        (60, "running", PORTS),
    ],
)
def test_instance_boots_on_the_clock(after_seconds: float, status: str | None, ports: object) -> None:
    caller = Caller()
    contract_id = caller.rent()
    caller.now += after_seconds
    shown = caller.show(contract_id)
    assert shown is not None
    assert (shown["actual_status"], shown["ports"]) == (status, ports)


def test_state_does_not_depend_on_earlier_reads() -> None:
    looked, unseen = Caller(), Caller()
    for caller in (looked, unseen):
        caller.rent()
    for _ in range(70):
        looked.now += 1
        looked.listed_ids()
    unseen.now += 70
    assert looked.show(12_345_678) == unseen.show(12_345_678)


FAILED_STATES = {
    BootFailure.STUCK_NULL: None,
    BootFailure.STUCK_LOADING: "loading",
    BootFailure.EXITED: "exited",
    BootFailure.OFFLINE: "offline",
    BootFailure.UNKNOWN: "unknown",
    BootFailure.OCI_ERROR: "created",
    BootFailure.OUTBID: "stopped",
    BootFailure.MISSING_PORT: "running",
    BootFailure.WRONG_PORT: "running",
    BootFailure.SLOW_APP: "running",
    BootFailure.PULL_ERROR: "loading",
}


@pytest.mark.parametrize("failure", BootFailure)
def test_boot_ends_in_its_failure_for_good(failure: BootFailure) -> None:
    caller = with_boot(replace(BOOT, failure=failure))
    contract_id = caller.rent()
    caller.now += 3_600
    assert caller.status(contract_id) == FAILED_STATES[failure]


@pytest.mark.parametrize(
    ("failure", "words"),
    [(BootFailure.OCI_ERROR, "OCI runtime create failed:"), (BootFailure.PULL_ERROR, "manifest unknown")],
)
def test_status_message_names_the_error(failure: BootFailure, words: str) -> None:
    caller = with_boot(replace(BOOT, failure=failure))
    contract_id = caller.rent()
    caller.now += 70
    shown = caller.show(contract_id)
    assert shown is not None
    assert words in shown["status_msg"]


def test_outbid_instance_says_stopped_three_times() -> None:
    caller = with_boot(replace(BOOT, failure=BootFailure.OUTBID))
    contract_id = caller.rent()
    caller.now += 60
    shown = caller.show(contract_id)
    assert shown is not None
    assert {shown["cur_state"], shown["intended_status"], shown["next_state"]} == {"stopped"}


@pytest.mark.parametrize(
    ("script", "port_count", "offer_ports"),
    [
        (replace(BOOT, failure=BootFailure.MISSING_PORT), 0, 249),
        (replace(BOOT, port_lag_seconds=30), 0, 249),
        (BOOT, 0, 0),
        (BOOT, 2, 249),
    ],
)
def test_running_instance_shows_ports_only_when_they_are_mapped(
    script: BootScript, port_count: int, offer_ports: int
) -> None:
    offer = replace(OFFER, direct_port_count=offer_ports)
    caller = Caller(replace(SETTINGS, boot=script, offers=(offer,)))
    contract_id = caller.rent(env={"-p 11434:11434": "1", "-p 8082:8082/udp": "1"})
    caller.now += 61
    shown = caller.show(contract_id)
    assert shown is not None
    assert (shown["actual_status"], len(shown["ports"] or ())) == ("running", port_count)


def test_lagging_port_appears_in_the_end() -> None:
    caller = with_boot(replace(BOOT, port_lag_seconds=30))
    contract_id = caller.rent()
    caller.now += 90
    shown = caller.show(contract_id)
    assert shown is not None
    assert shown["ports"] == PORTS


def test_wrong_port_is_one_on_which_nothing_was_started() -> None:
    caller = with_boot(replace(BOOT, failure=BootFailure.WRONG_PORT))
    contract_id = caller.rent()
    caller.now += 60
    shown = caller.show(contract_id)
    assert shown is not None
    assert (shown["ports"]["11434/tcp"][0]["HostPort"], caller.host.told) == ("9", [])


def test_slow_app_is_told_to_open_late() -> None:
    caller = with_boot(replace(BOOT, failure=BootFailure.SLOW_APP, slow_app_seconds=300))
    contract_id = caller.rent()
    caller.now += 65
    caller.vastai.advance()
    assert caller.host.machines[contract_id].opens_at == pytest.approx(caller.now - 5 + 300)


@pytest.mark.parametrize(
    ("body", "starts"),
    [
        ({"runtype": "args"}, True),
        ({"runtype": "args", "args": ["serve"]}, True),
        ({"runtype": "args", "onstart": "/bin/ollama", "args": ["serve"]}, True),
        ({"runtype": "args", "onstart": "/bin/sh", "args": ["-c", "exec ollama serve"]}, True),
        ({"runtype": "args", "args": ["--version"]}, False),
        ({"runtype": "args", "image": "nginx"}, False),
        ({"runtype": "ssh"}, False),
        ({"runtype": None}, False),
        ({"runtype": "ssh", "onstart": "ollama serve &"}, True),
    ],
)
def test_server_starts_only_when_the_image_is_left_its_entrypoint_or_told_to(
    body: dict[str, Any], starts: bool
) -> None:
    caller = Caller()
    caller.rent(**body)
    caller.now += 60
    caller.vastai.advance()
    assert bool(caller.host.machines) is starts


@pytest.mark.parametrize(
    ("loss", "status"), [(Loss.OFFLINE, "offline"), (Loss.STOPPED, "stopped"), (Loss.VANISHED, None)]
)
def test_running_machine_is_lost_when_its_script_says_so(loss: Loss, status: str | None) -> None:
    caller = with_boot(replace(BOOT, loss=loss, lost_after_seconds=100))
    contract_id = caller.rent()
    caller.now += 159
    assert caller.status(contract_id) == "running"
    caller.now += 2
    shown = caller.show(contract_id)
    assert (shown and shown["actual_status"], f"stop {contract_id}" in caller.host.told) == (status, True)
    assert (contract_id in caller.listed_ids()) is (loss is not Loss.VANISHED)


def test_host_takes_its_machine_back_at_the_end_of_its_offer() -> None:
    caller = Caller(replace(SETTINGS, offers=(replace(OFFER, available_seconds=600),)))
    contract_id = caller.rent()
    caller.now += 601
    assert caller.status(contract_id) == "stopped"
    started = caller.read("PUT", f"/api/v0/instances/{contract_id}/", {"state": "running"})
    assert started["success"] is False


def test_stopped_instance_starts_again_under_another_port() -> None:
    caller = Caller()
    contract_id = caller.rent()
    path = f"/api/v0/instances/{contract_id}/"
    caller.now += 60
    caller.vastai.advance()
    assert caller.read("PUT", path, {"state": "stopped"}) == {"success": True}
    assert caller.status(contract_id) == "stopped"
    assert caller.read("PUT", path, {"state": "running"}) == {"success": True}
    caller.now += 10
    shown = caller.show(contract_id)
    assert shown is not None
    assert (shown["actual_status"], shown["ports"]["11434/tcp"][0]["HostPort"]) == ("running", "40003")
    assert caller.host.told == [f"start {contract_id}", f"stop {contract_id}", f"start {contract_id}"]


def test_container_gets_the_variables_of_the_account_and_its_own_key() -> None:
    caller = Caller(replace(SETTINGS, account_env={"HF_TOKEN": "of-the-account", "OLLAMA_HOST": "1"}))
    contract_id = caller.rent(env={"OLLAMA_HOST": "0.0.0.0"})  # noqa: S104 # nothing is bound
    caller.now += 60
    caller.vastai.advance()

    env = caller.host.machines[contract_id].env
    assert (env["HF_TOKEN"], env["OLLAMA_HOST"], env["CONTAINER_ID"]) == (
        "of-the-account",
        "0.0.0.0",  # noqa: S104 # nothing is bound
        str(contract_id),
    )
    own = caller.ask(
        "DELETE", f"/api/v0/instances/{contract_id}/", {}, key=f"Bearer {env['CONTAINER_API_KEY']}"
    )
    assert own.status == 200


def test_next_change_is_known_in_advance() -> None:
    caller = Caller()
    caller.rent()
    changes = []
    for _ in range(2):
        change_at = caller.vastai.next_change_at()
        assert change_at is not None
        caller.now = change_at
        changes.append(caller.status(12_345_678))
    assert changes == ["loading", "running"]
