"""Neighbours of RUNE: roles with a policy of their own, and queues that record what passes by."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

import boto3

from local.emulator import REGION, AwsSession
from local.stack import Stack
from tests.e2e.waiting import wait_until

type Policy = list[Mapping[str, object]]


def allow(action: str, resource: str) -> Mapping[str, object]:
    """Return a statement."""
    return {"Effect": "Allow", "Action": action, "Resource": resource}


class Sender:
    """Another service of the account, with no permission but those given."""

    def __init__(self, stack: Stack, policy: Policy) -> None:
        self._url = stack.state.emulator_url
        iam, name = stack.aws.client("iam"), f"sender-{uuid.uuid4().hex[:12]}"
        trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
        role = iam.create_role(
            RoleName=name,
            AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
        )["Role"]["Arn"]
        if policy:
            document = {"Version": "2012-10-17", "Statement": policy}
            iam.put_role_policy(RoleName=name, PolicyName="send", PolicyDocument=json.dumps(document))
        given = stack.aws.client("sts").assume_role(RoleArn=role, RoleSessionName="e2e")["Credentials"]
        self._session = boto3.Session(
            aws_access_key_id=given["AccessKeyId"],
            aws_secret_access_key=given["SecretAccessKey"],
            aws_session_token=given["SessionToken"],
            region_name=REGION,
        )

    def client(self, service: str) -> Any:  # noqa: ANN401  # its type depends on the name
        """Return a client of one service."""
        return self._session.client(
            service,  # type: ignore[call-overload]  # the stubs know literal names only
            endpoint_url=self._url,
        )


class Recorder:
    """A queue that gets what an intake's queue gets, so that a test can send it again."""

    def __init__(self, aws: AwsSession) -> None:
        self._sqs = aws.client("sqs")
        self.url = self._sqs.create_queue(QueueName=f"recorder-{uuid.uuid4().hex[:12]}")["QueueUrl"]
        attributes = self._sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=["QueueArn"])
        self.arn: str = attributes["Attributes"]["QueueArn"]
        policy = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": self.arn}
        document = json.dumps({"Version": "2012-10-17", "Statement": [policy]})
        self._sqs.set_queue_attributes(QueueUrl=self.url, Attributes={"Policy": document})
        self._bodies: list[str] = []

    def wait_for(self, *words: str) -> list[str]:
        """Return, for each word, the body that holds it."""

        def find() -> list[str] | None:
            answer = self._sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10)
            self._bodies += [message["Body"] for message in answer.get("Messages", [])]
            found = [next((body for body in self._bodies if word in body), None) for word in words]
            return [body for body in found if body is not None] if None not in found else None

        return wait_until(find, f"{words} have passed by", limit_seconds=30.0)
