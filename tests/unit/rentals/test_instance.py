import pytest

from rune.rentals.instance import BootState, Instance, describe_state, find_boot_state, has_stopped
from tests.builders import after
from tests.rental_builders import CONTRACT_ID, a_created_rental, a_listing, a_rental, an_instance

RENTAL = a_created_rental()
OCI = "Error response from daemon: OCI runtime create failed: nvidia-container-cli"


def a_booting(actual_status: str | None = "loading", **overrides: object) -> Instance:
    """Return a machine that is not up yet: no port, and nothing said."""
    booting: dict[str, object] = {"actual_status": actual_status, "host_ports": {}, "status_text": ""}
    return an_instance(**{**booting, **overrides})


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("203.0.113.7", "http://203.0.113.7:40123"),
        ("2001:db8::7", "http://[2001:db8::7]:40123"),
        ("host.example", "http://host.example:40123"),
        ("", None),
        (None, None),
    ],
)
def test_instance_is_reached_at_its_public_address_and_port(address: str | None, url: str | None) -> None:
    assert an_instance(address=address).url(11434) == url


def test_instance_is_reached_at_the_port_of_that_container_port() -> None:
    ports = {"11434/udp": 1, "8080/tcp": 2, "11434/tcp": 40_123}

    assert an_instance(host_ports=ports).url(11434) == "http://203.0.113.7:40123"
    assert an_instance(host_ports=ports).url(22) is None


@pytest.mark.parametrize("status", [None, "loading", "created", "exited", "rebooting"])
def test_instance_has_no_url_when_it_does_not_run(status: str | None) -> None:
    assert an_instance(actual_status=status).url(11434) is None


STOPPED = {"cur_state": "stopped", "intended_status": "stopped", "next_state": "stopped"}

VERDICTS: list[tuple[str, Instance, float, BootState, str]] = [
    ("not reported yet", a_booting(None), 120, BootState.WAITING, ""),
    ("never reported", a_booting(None), 121, BootState.FAILED, "host never reported"),
    ("not reported but at work", a_booting(None, status_text="Pulling fs layer"), 999, BootState.WAITING, ""),
    ("loads", a_booting("loading"), 999, BootState.WAITING, ""),
    ("restarts", a_booting("rebooting"), 999, BootState.WAITING, ""),
    ("scheduled", a_booting("loading", cur_state="stopped"), 999, BootState.WAITING, ""),
    ("created", a_booting("created"), 10, BootState.WAITING, ""),
    ("created, cannot start", a_booting("created", status_text=OCI), 10, BootState.FAILED, f"created: {OCI}"),
    ("running without port", an_instance(host_ports={}), 10, BootState.WAITING, ""),
    ("running without address", an_instance(address=None), 10, BootState.WAITING, ""),
    ("running with its port", an_instance(), 10, BootState.REACHABLE, ""),
    (
        "running in spite of its text",
        an_instance(status_text="last: manifest unknown"),
        10,
        BootState.REACHABLE,
        "",
    ),
    ("outbid", a_booting("loading", **STOPPED), 10, BootState.FAILED, "loading"),
    ("outbid while running", an_instance(**STOPPED, status_text=""), 10, BootState.FAILED, "running"),
    *(
        (status, a_booting(status), 10, BootState.FAILED, status)
        for status in ("exited", "unknown", "offline", "stopped", "frozen")
    ),
    *(
        (text, a_booting("loading", status_text=text), 10, BootState.FAILED, f"loading: {text}")
        for text in (
            "manifest unknown: manifest unknown",
            "failed to resolve reference docker.io/x",
            "Pull Access Denied for x",
            "repository does not exist",
            "unauthorized: authentication required",
            "write /var/lib: no space left on device",
        )
    ),
]


@pytest.mark.parametrize(
    ("instance", "waited_seconds", "boot", "reason"),
    [row[1:] for row in VERDICTS],
    ids=[row[0] for row in VERDICTS],
)
def test_judge_boot_tells_how_far_a_machine_is(
    instance: Instance, waited_seconds: float, boot: BootState, reason: str
) -> None:
    assert find_boot_state(RENTAL, instance, 11434, after(waited_seconds)) == (boot, reason)


@pytest.mark.parametrize("missing", list(STOPPED))
def test_is_lost_needs_all_three_states_when_the_provider_stops_a_machine(missing: str) -> None:
    assert has_stopped(an_instance(**STOPPED))
    assert not has_stopped(an_instance(**{**STOPPED, missing: "running"}))
    assert not has_stopped(an_instance(**{**STOPPED, missing: None}))


@pytest.mark.parametrize(
    ("status", "lost"), [("running", False), (None, False), ("loading", False), ("offline", True)]
)
def test_is_lost_tells_machines_that_stopped_from_those_that_never_ran(
    status: str | None, lost: bool
) -> None:
    assert has_stopped(an_instance(actual_status=status)) is lost


def test_describe_keeps_the_providers_text_short_and_on_one_line() -> None:
    text = describe_state(a_booting(None, status_text="pull\nfailed \t twice " + "x" * 500))

    assert text.startswith("not reported: pull failed twice xxx")
    assert len(text) == len("not reported: ") + 160


def test_listing_finds_a_machine_by_contract_before_label() -> None:
    by_label = an_instance(contract_id=7)
    by_contract = an_instance(label="renamed")

    assert a_listing(by_label, by_contract).find(RENTAL) == by_contract
    assert a_listing(by_label).find(RENTAL) == by_label


@pytest.mark.parametrize("label", [None, "", RENTAL.label + "0", RENTAL.label[:-1], RENTAL.label.upper()])
def test_listing_finds_nothing_when_label_and_contract_are_anothers(label: str | None) -> None:
    stranger = an_instance(contract_id=CONTRACT_ID + 1, label=label)

    assert a_listing(stranger).find(RENTAL) is None
    assert a_listing(stranger).find(a_rental()) is None
