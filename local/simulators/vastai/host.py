"""Rented machines of the local stack: each is a simulated Ollama on its own loopback port."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import override

import uvicorn
from starlette.types import ASGIApp

from local.simulators.ollama import OllamaSettings, SimulatedOllama, create_app
from local.simulators.serving import HOST
from local.simulators.vastai.clock import SkippingClock
from local.simulators.vastai.guarded import GuardedServer
from local.simulators.vastai.machines import MachineHost, RentedMachine, Traffic
from local.simulators.vastai.traffic import TrafficMeter

_MEBIBYTE = 1 << 20


class _InnerServer(uvicorn.Server):
    """A server in the loop of another one, which handles the signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle no signal."""
        yield


@dataclass(slots=True)
class _Disk:
    """What a stopped container keeps."""

    meter: TrafficMeter


@dataclass(slots=True)
class _Server:
    """A running container."""

    listener: socket.socket
    task: asyncio.Task[None]
    server: _InnerServer


class LoopbackHost(MachineHost):
    """Runs the machines in the event loop that serves the API.

    A port refuses connections until its server opens; stopping the machine breaks its connections.

    Parameters
    ----------
    settings
        Of every machine's Ollama. It begins without models, and has the memory and the download speed of its offer.
    """

    def __init__(self, clock: SkippingClock, settings: OllamaSettings) -> None:
        self._clock = clock
        self._settings = settings
        self._disks: dict[int, _Disk] = {}
        self._running: dict[int, _Server] = {}

    @override
    def start(self, machine: RentedMachine) -> int:
        disk = self._disks.get(machine.contract_id) or self._make_disk(machine)
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.bind((HOST, 0))
        port: int = listener.getsockname()[1]
        delay_seconds = machine.opens_at - self._clock.epoch_seconds()
        if delay_seconds <= 0:
            # A client that reads the port in this answer may connect at once.
            listener.listen()
        server = _create_server(disk.meter)
        task = asyncio.get_running_loop().create_task(self._serve(machine, listener, server))
        self._running[machine.contract_id] = _Server(listener, task, server)
        return port

    @override
    def stop(self, contract_id: int) -> None:
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

    @override
    def forget(self, contract_id: int) -> None:
        self._disks.pop(contract_id, None)

    @override
    def traffic(self, contract_id: int) -> Traffic:
        disk = self._disks.get(contract_id)
        return disk.meter.total() if disk else Traffic()

    def close(self) -> None:
        """Stop everything."""
        for contract_id in list(self._running):
            self.stop(contract_id)

    def _make_disk(self, machine: RentedMachine) -> _Disk:
        offer = machine.offer
        settings = replace(
            self._settings,
            models=(),
            vram_bytes=offer.usable_vram_mb * _MEBIBYTE,
            pull_bytes_per_second=machine.download_bytes_per_second,
        )
        state = SimulatedOllama(settings, timeline=self._clock)
        app: ASGIApp = create_app(state)
        if machine.key_digest is not None:
            app = GuardedServer(app, machine.key_digest)
        disk = _Disk(TrafficMeter(app, state))
        self._disks[machine.contract_id] = disk
        return disk

    async def _serve(self, machine: RentedMachine, listener: socket.socket, server: _InnerServer) -> None:
        # Polled, because the clock can be skipped ahead.
        while self._clock.epoch_seconds() < machine.opens_at:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        await server.serve([listener])


def _create_server(meter: TrafficMeter) -> _InnerServer:
    return _InnerServer(
        uvicorn.Config(
            meter, lifespan="off", ws="none", access_log=False, log_config=None, log_level="critical"
        )
    )
