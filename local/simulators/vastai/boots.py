"""How an instance changes by itself: a list of moments, planned whenever a request changes it.

States and what they cost: docs.vast.ai, "Instances" and "Billing" (August 2026). The GPU is charged while the
container runs, the disk for as long as the contract exists, and nothing while the host is offline.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

OCI_ERROR_TEXT = (
    "Error response from daemon: failed to create task for container: failed to create shim task: "
    "OCI runtime create failed: runc create failed: unable to start container process: "
    "error during container init: nvidia-container-cli: initialization error: driver error\n"
)
PULL_ERROR_TEXT = "Error response from daemon: manifest for {image} not found: manifest unknown\n"


class BootFailure(StrEnum):
    """A boot that never succeeds."""

    STUCK_NULL = "stuck_null"
    STUCK_LOADING = "stuck_loading"
    EXITED = "exited"
    OFFLINE = "offline"
    UNKNOWN = "unknown"
    OCI_ERROR = "oci_error"
    """`created`, with the error in status_msg."""
    OUTBID = "outbid"
    """All three states stopped."""
    MISSING_PORT = "missing_port"
    WRONG_PORT = "wrong_port"
    """A port on which nothing listens."""
    SLOW_APP = "slow_app"
    """Runs and shows its port long before the server opens it."""
    PULL_ERROR = "pull_error"
    """`loading`, with the image's error in status_msg."""


class Loss(StrEnum):
    """A way to lose a machine."""

    OFFLINE = "offline"
    STOPPED = "stopped"
    VANISHED = "vanished"
    """It is not listed any more, although no request destroyed it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BootScript:
    """How a machine boots.

    Attributes
    ----------
    null_seconds
        Until the host reports at all.
    loading_seconds
        Pulling the image.
    created_seconds
        Container made and not started; 0 omits the state.
    port_lag_seconds
        From running until `ports` is shown.
    app_delay_seconds
        From running until the server accepts connections.
    slow_app_seconds
        The same where `failure` is slow_app.
    restart_seconds
        From a start of a stopped machine until it runs.
    failure
        None for a successful boot.
    status_text
        Instead of the failure's own message.
    loss
        How the machine is lost once it runs; None for never.
    lost_after_seconds
        Counted from running.
    """

    null_seconds: float = 15.0
    loading_seconds: float = 75.0
    created_seconds: float = 0.0
    port_lag_seconds: float = 0.0
    app_delay_seconds: float = 0.0
    slow_app_seconds: float = 600.0
    restart_seconds: float = 10.0
    failure: BootFailure | None = None
    status_text: str | None = None
    loss: Loss | None = None
    lost_after_seconds: float = 0.0

    @property
    def server_delay_seconds(self) -> float:
        """From running until the server accepts connections."""
        return self.slow_app_seconds if self.failure is BootFailure.SLOW_APP else self.app_delay_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """The state from `at` (epoch seconds) until the next moment.

    Attributes
    ----------
    gpu_usd_per_hour
        What the GPU costs in this state.
    is_disk_billed
        False while the host is offline.
    is_up
        Whether the container runs.
    has_pulled
        Whether the image is on the machine, and so billed; later moments need not repeat it.
    exists
        False once the contract is gone.
    """

    at: float
    actual: str | None
    intended: str = "running"
    current: str = "running"
    following: str = "running"
    text: str = ""
    gpu_usd_per_hour: float = 0.0
    is_disk_billed: bool = True
    is_up: bool = False
    shows_ports: bool = False
    has_pulled: bool = False
    exists: bool = True


def stopped(at: float, *, intended: str = "stopped", text: str = "") -> Moment:
    """Return the state of a stopped contract: by its owner, outbid, expired, or out of credit."""
    return Moment(
        at=at,
        actual="stopped",
        intended=intended,
        current="stopped",
        following="stopped",
        text=text,
    )


def gone(at: float) -> Moment:
    """Return the end of a contract."""
    return Moment(
        at=at,
        actual=None,
        intended="stopped",
        current="unloaded",
        following="unloaded",
        is_disk_billed=False,
        exists=False,
    )


def plan_loss(at: float, loss: Loss) -> Moment:
    """Return the state of a machine that is lost at `at`."""
    match loss:
        case Loss.OFFLINE:
            return Moment(at=at, actual="offline", is_disk_billed=False)
        case Loss.STOPPED:
            return stopped(at)
        case Loss.VANISHED:
            return gone(at)


def plan_boot(script: BootScript, at: float, usd_per_hour: float, image: str) -> list[Moment]:
    """Return the states of a new machine."""
    moments = [Moment(at=at, actual=None)]
    if script.failure is BootFailure.STUCK_NULL:
        return moments
    at += script.null_seconds
    if script.failure in {BootFailure.OFFLINE, BootFailure.UNKNOWN}:
        is_billed = script.failure is BootFailure.UNKNOWN
        return [*moments, Moment(at=at, actual=script.failure.value, is_disk_billed=is_billed)]
    text = f"Pulling image {image}"
    if script.failure is BootFailure.PULL_ERROR:
        text = script.status_text or PULL_ERROR_TEXT.format(image=image)
    has_pulled = script.failure is not BootFailure.PULL_ERROR
    moments.append(Moment(at=at, actual="loading", text=text, has_pulled=has_pulled))
    if script.failure in {BootFailure.STUCK_LOADING, BootFailure.PULL_ERROR}:
        return moments
    at += script.loading_seconds
    return moments + _plan_container(script, at, usd_per_hour, image)


def plan_restart(script: BootScript, at: float, usd_per_hour: float, image: str) -> list[Moment]:
    """Return the states of a machine that starts again with its image and disk."""
    first = Moment(at=at, actual="loading", text="")
    healthy = replace(script, failure=None, created_seconds=0.0, loss=None)
    return [first, *_plan_container(healthy, at + script.restart_seconds, usd_per_hour, image)]


def _plan_container(script: BootScript, at: float, usd_per_hour: float, image: str) -> list[Moment]:
    moments = []
    if script.failure is BootFailure.OCI_ERROR:
        return [Moment(at=at, actual="created", text=script.status_text or OCI_ERROR_TEXT)]
    if script.created_seconds:
        moments.append(Moment(at=at, actual="created"))
        at += script.created_seconds
    if script.failure is BootFailure.EXITED:
        text = script.status_text or f"Error: {image} exited with code 1"
        return [*moments, Moment(at=at, actual="exited", text=text)]
    if script.failure is BootFailure.OUTBID:
        return [*moments, stopped(at)]
    running = Moment(
        at=at,
        actual="running",
        text=f"success, running {image.replace(':', '_')}",
        gpu_usd_per_hour=usd_per_hour,
        is_up=True,
        shows_ports=script.port_lag_seconds == 0,
    )
    moments.append(running)
    if script.port_lag_seconds and script.failure is not BootFailure.MISSING_PORT:
        moments.append(replace(running, at=at + script.port_lag_seconds, shows_ports=True))
    if script.failure is BootFailure.MISSING_PORT:
        moments[-1] = replace(running, shows_ports=False)
    if script.loss is None:
        return moments
    lost = plan_loss(at + script.lost_after_seconds, script.loss)
    return [*(moment for moment in moments if moment.at < lost.at), lost]
