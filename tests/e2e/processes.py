"""Which processes run, as `ps` tells it on every Unix."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from dataclasses import dataclass

from tests.e2e.waiting import wait_until


@dataclass(frozen=True, slots=True)
class Process:
    """One line of the process list; `started` tells it from a later process of the same number."""

    pid: int
    parent: int
    state: str
    started: str


def list_processes() -> dict[int, Process]:
    """Return all processes by number; a zombie has ended, so it is left out."""
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid=,stat=,lstart="],  # noqa: S607 - the system's own
        capture_output=True,
        text=True,
        check=True,
    )
    found = (line.split(None, 3) for line in listed.stdout.splitlines())
    processes = (Process(int(pid), int(parent), stat, started) for pid, parent, stat, started in found)
    return {process.pid: process for process in processes if not process.state.startswith("Z")}


def descendants_of(pid: int) -> list[Process]:
    """Return what a process started, and what that started."""
    processes = list_processes()
    found: list[Process] = []
    wanted = {pid}
    while wanted:
        children = [process for process in processes.values() if process.parent in wanted]
        found += children
        wanted = {process.pid for process in children}
    return found


def still_alive(processes: Iterable[Process]) -> list[Process]:
    """Return those of the processes that run now."""
    now = list_processes()
    return [old for old in processes if old.pid in now and now[old.pid].started == old.started]


def wait_until_gone(processes: Iterable[Process], *, limit_seconds: float) -> None:
    """Return when none of the processes runs; raises AssertionError that lists those that still do."""
    watched = list(processes)
    wait_until(
        lambda: not still_alive(watched), f"{len(watched)} processes are gone", limit_seconds=limit_seconds
    )
