"""Rented machines of the local stack: a simulated Ollama each, on a loopback port of its own."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace

import uvicorn

from local.simulators.ollama import OllamaSettings, SimulatedOllama, create_app
from local.simulators.serving import HOST
from local.simulators.vastai.clock import SkippingClock
from local.simulators.vastai.downloads import DownloadMeter
from local.simulators.vastai.machines import RentedMachine

_MEBIBYTE = 1 << 20


class _InnerServer(uvicorn.Server):
    """A server within another one's loop, so signals are not its own."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them to the outer server."""
        yield


@dataclass(slots=True)
class _Disk:
    """What stays of a container while it is stopped."""

    meter: DownloadMeter


@dataclass(slots=True)
class _Server:
    """A container that runs."""

    listener: socket.socket
    task: asyncio.Task[None]
    server: _InnerServer


class LoopbackHost:
    """A `MachineHost` within the event loop that serves the API.

    A port refuses connections until its server opens, and breaks those it has when the machine is stopped.

    Parameters
    ----------
    settings
        Of every machine's Ollama, except that it has no model at first, the memory of the offer's GPUs and the
        machine's download speed.
    """

    def __init__(self, clock: SkippingClock, settings: OllamaSettings) -> None:
        self._clock = clock
        self._settings = settings
        self._disks: dict[int, _Disk] = {}
        self._running: dict[int, _Server] = {}

    def start(self, machine: RentedMachine) -> int:
        """Start the server of a container, and return its port."""
        disk = self._disks.get(machine.contract_id) or self._make_disk(machine)
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.bind((HOST, 0))
        port: int = listener.getsockname()[1]
        delay_seconds = machine.opens_at - self._clock.epoch_seconds()
        if delay_seconds <= 0:
            # Whoever reads the port in the answer being written may connect at once.
            listener.listen()
        server = _create_server(disk.meter)
        task = asyncio.get_running_loop().create_task(self._serve(machine, listener, server))
        self._running[machine.contract_id] = _Server(listener, task, server)
        return port

    def stop(self, contract_id: int) -> None:
        """Close a container's port and break its connections."""
        running = self._running.pop(contract_id, None)
        if running is None:
            return
        running.task.cancel()
        for inner in getattr(running.server, "servers", ()):
            inner.close()
        running.listener.close()
        for connection in list(running.server.server_state.connections):
            transport = getattr(connection, "transport", None)
            if transport is not None:
                transport.abort()
        for task in list(running.server.server_state.tasks):
            task.cancel()

    def forget(self, contract_id: int) -> None:
        """Delete a container's disk."""
        self._disks.pop(contract_id, None)

    def downloaded_bytes(self, contract_id: int) -> int:
        """Return what a container's Ollama has pulled so far."""
        disk = self._disks.get(contract_id)
        return disk.meter.total_bytes() if disk else 0

    def ollama(self, contract_id: int) -> SimulatedOllama:
        """Return the server of a machine, to add faults to it or to see what it was asked.

        Raises
        ------
        KeyError
            The container never started, or is destroyed.
        """
        return self._disks[contract_id].meter.state

    def close(self) -> None:
        """Stop everything."""
        for contract_id in list(self._running):
            self.stop(contract_id)

    def _make_disk(self, machine: RentedMachine) -> _Disk:
        offer = machine.offer
        settings = replace(
            self._settings,
            models=(),
            vram_bytes=offer.gpu_ram_mb * offer.gpu_count * _MEBIBYTE,
            pull_bytes_per_second=machine.download_bytes_per_second,
        )
        state = SimulatedOllama(settings, timeline=self._clock)
        disk = _Disk(DownloadMeter(create_app(state), state))
        self._disks[machine.contract_id] = disk
        return disk

    async def _serve(self, machine: RentedMachine, listener: socket.socket, server: _InnerServer) -> None:
        # Looked at often instead of slept through: somebody may skip ahead, which no event tells.
        while self._clock.epoch_seconds() < machine.opens_at:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        await server.serve([listener])


def _create_server(meter: DownloadMeter) -> _InnerServer:
    return _InnerServer(
        uvicorn.Config(
            meter, lifespan="off", ws="none", access_log=False, log_config=None, log_level="critical"
        )
    )
