"""The queues of the stack, looked into from outside."""

from __future__ import annotations

import httpx

from local.stack import Stack
from tests.e2e.waiting import wait_until

type Bodies = dict[str, list[str]]

LANES = ("money", "inference")
UNREADABLE = "not a step of a job"
"""Begins the messages that a test sends to be dead-lettered."""


class Queues:
    """Money, inference and dead-letter queue, by these names."""

    def __init__(self, stack: Stack) -> None:
        state = stack.state
        self._urls = {
            "money": state.money_queue_url,
            "inference": state.inference_queue_url,
            "dead_letter": state.dead_letter_queue_url,
        }
        self._emulator_url = state.emulator_url
        self._sqs = stack.aws.client("sqs")

    def send(self, name: str, body: str) -> None:
        """Put a message into a queue."""
        self._sqs.send_message(QueueUrl=self._urls[name], MessageBody=body)

    def bodies(self) -> Bodies:
        """Return every message that is in a queue, those in flight and those delayed included."""
        answer = httpx.get(f"{self._emulator_url}/_ministack/sqs/messages", trust_env=False, timeout=30.0)
        found: Bodies = {name: [] for name in self._urls}
        for account in answer.raise_for_status().json()["messages"].values():
            for region in account.values():
                for name, url in self._urls.items():
                    found[name] += [message["Body"] for message in region.get(url, [])]
        return found

    def mentioning(self, *words: str) -> Bodies:
        """Return the messages that hold one of the words; queues without any are left out."""
        wanted = {
            name: [body for body in bodies if any(word in body for word in words)]
            for name, bodies in self.bodies().items()
        }
        return {name: bodies for name, bodies in wanted.items() if bodies}

    def wrongly_dead(self) -> list[str]:
        """Return the dead letters that a worker could have read."""
        return [body for body in self.bodies()["dead_letter"] if not body.startswith(UNREADABLE)]

    def wait_for_dead_letter(self, body: str) -> None:
        """Return when the dead-letter queue holds this message."""
        wait_until(
            lambda: body in self.bodies()["dead_letter"],
            f"the dead-letter queue holds {body!r}",
            limit_seconds=30.0,
        )

    def wait_until_empty(self, *words: str) -> None:
        """Return when no message holds one of the words."""
        wait_until(lambda: not self.mentioning(*words), f"no message with {words}", limit_seconds=30.0)
