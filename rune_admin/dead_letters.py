"""The queues of what was given up: what is in them, and moving it back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rune_admin.errors import OperatorError
from rune_admin.output import Row

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

QUEUES: Mapping[str, tuple[str, str | None]] = {
    "steps": ("DeadLetterQueueUrl", None),
    "drop": ("DropFailureQueueUrl", "DropQueueUrl"),
    "bus": ("BusFailureQueueUrl", "BusQueueUrl"),
    "queue": ("IntakeFailureQueueUrl", "IntakeQueueUrl"),
    "topic": ("TopicFailureQueueUrl", "TopicQueueUrl"),
    "workflow": ("WorkflowFailureQueueUrl", "WorkflowQueueUrl"),
    "invoke": ("InvokeFailureQueueUrl", None),
}
"""Of each name the output of the queue, and of the one to which its messages go back.

None where SQS knows it, or where there is none: a call of a function is made again by its caller.
"""

_LOOK_SECONDS = 5
_MOST = 10


class DeadLetters:
    """The queues of one deployment, by the outputs of its stack."""

    def __init__(self, sqs: SQSClient, outputs: Mapping[str, str]) -> None:
        self._sqs = sqs
        self._outputs = outputs

    def list_all(self) -> list[Row]:
        """Return how many messages each queue holds; ways in that are off have none."""
        return [
            {"queue": name, "messages": self._count(self._outputs[output])}
            for name, (output, _) in QUEUES.items()
            if output in self._outputs
        ]

    def _count(self, url: str) -> int:
        found = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        hidden = found["ApproximateNumberOfMessagesNotVisible"]
        return int(found["ApproximateNumberOfMessages"]) + int(hidden)

    def look(self, name: str) -> list[Row]:
        """Return up to ten messages, which stay where they are and are hidden from others for five seconds."""
        answer = self._sqs.receive_message(
            QueueUrl=self._url(name),
            MaxNumberOfMessages=_MOST,
            VisibilityTimeout=_LOOK_SECONDS,
            MessageAttributeNames=["All"],
        )
        return [
            {
                "message_id": message["MessageId"],
                **{
                    each: attribute.get("StringValue")
                    for each, attribute in sorted(message.get("MessageAttributes", {}).items())
                },
                "body": message["Body"],
            }
            for message in answer.get("Messages", [])
        ]

    def move_back(self, name: str) -> str:
        """Let SQS move all messages back, which is safe; return where to.

        Raises
        ------
        OperatorError
            There is no such queue, or nothing to move its messages to.
        """
        _, destination = QUEUES[name]
        source = self._arn(self._url(name))
        if name == "invoke":
            raise OperatorError(
                "A call of the function is made again by its caller; there is no queue to move it to."
            )
        if destination is None:
            self._sqs.start_message_move_task(SourceArn=source)
            return "the lanes from which they came"
        target = self._arn(self._outputs[destination])
        self._sqs.start_message_move_task(SourceArn=source, DestinationArn=target)
        return target

    def _url(self, name: str) -> str:
        output = QUEUES[name][0]
        if output not in self._outputs:
            raise OperatorError(f"The way in {name!r} is off in this deployment.")
        return self._outputs[output]

    def _arn(self, url: str) -> str:
        return self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"][
            "QueueArn"
        ]
