"""The ways in, and the key under which what came on one of them is one job."""

import hashlib
import json
from enum import StrEnum


class Way(StrEnum):
    """A way in. Each has a queue or a function of its own."""

    DROP = "drop"
    """An object below `inbox/` of the bucket, told by EventBridge."""
    BUS = "bus"
    """An event on the deployment's own bus."""
    QUEUE = "queue"
    """A message that was sent to a queue."""
    TOPIC = "topic"
    """A message of a topic, in its envelope."""
    INVOKE = "invoke"
    """A call of a function, with or without waiting for its answer."""
    WORKFLOW = "workflow"
    """A task of a state machine that waits for its token."""


KEY_PREFIX = "»"
"""Begins the keys of what came in here. No caller of the API can send it: a header is printable ASCII."""


def key_of(way: Way, tenant: str, *identity: str) -> str:
    """Return the idempotency key of something that came in.

    Parameters
    ----------
    identity
        What is the same at every redelivery, and different for everything else.
    """
    digest = hashlib.sha256(json.dumps([way, tenant, *identity]).encode()).hexdigest()
    return KEY_PREFIX + digest
