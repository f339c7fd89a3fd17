"""One deployed stack: its outputs and parameters, and the AWS clients to work on it.

Region, credentials and, for the local stack, the endpoint come from AWS's own variables (`AWS_REGION`,
`AWS_PROFILE`, `AWS_ENDPOINT_URL`, …).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from rune.aws.job_store import DynamoJobStore, NoObjectStore
from rune.aws.rental_store import DynamoRentalStore
from rune.aws.token_use_store import DynamoTokenUseStore
from rune.net.addresses import AddressPolicy
from rune.tenants.reading import DocumentContext
from rune_admin.errors import OperatorError

if TYPE_CHECKING:
    from typing import Any

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient

    # The stubs of these are not among the requirements.
    type SsmClient = Any
    type LambdaClient = Any
    type CloudFormationClient = Any

CALL_SECONDS = 70
"""Of a call of the janitor's function, which may take 50."""


@dataclass(frozen=True)
class Deployment:
    """A deployed stack.

    Attributes
    ----------
    outputs, parameters
        As the stack has them; secret parameters are masked by AWS.
    """

    session: boto3.Session
    outputs: Mapping[str, str]
    parameters: Mapping[str, str]

    @classmethod
    def find(cls, stack: str) -> Deployment:
        """Return the stack of this name; raises OperatorError."""
        session = boto3.Session()
        try:
            found = session.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
        except ClientError as error:
            raise OperatorError(f"There is no stack {stack!r} that you may read: {error}") from None
        outputs = {each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs", [])}
        parameters = {each["ParameterKey"]: each["ParameterValue"] for each in found.get("Parameters", [])}
        return cls(session, outputs, parameters)

    def output(self, name: str) -> str:
        """Return an output; raises OperatorError where the stack has none of this name."""
        if name not in self.outputs:
            raise OperatorError(f"The stack has no output {name}: is it one of RUNE's?")
        return self.outputs[name]

    @property
    def tenants_path(self) -> str:
        """The path below which the tenants' documents stand."""
        stage = self.parameters.get("Stage", "dev")
        return self.parameters.get("TenantsPath") or f"/rune/{stage}/tenants"

    @property
    def key_arn(self) -> str | None:
        """The customer's key with which settings are encrypted; None for the one that AWS manages."""
        return self.parameters.get("SettingsKeyArn") or None

    @property
    def document_context(self) -> DocumentContext:
        """What the functions judge a document by."""
        policy = AddressPolicy.parse(self.parameters.get("AllowedNetworks", ""))
        has_bedrock = self.parameters.get("BedrockAccess") == "true"
        return DocumentContext(policy, self.session.region_name or "", has_bedrock)

    @cached_property
    def formation(self) -> CloudFormationClient:
        """CloudFormation."""
        return self.session.client("cloudformation")

    @cached_property
    def dynamodb(self) -> DynamoDBClient:
        """DynamoDB."""
        return self.session.client("dynamodb")

    @cached_property
    def ssm(self) -> SsmClient:
        """The parameter store."""
        return self.session.client("ssm")

    @cached_property
    def sqs(self) -> SQSClient:
        """The queues."""
        return self.session.client("sqs")

    @cached_property
    def functions(self) -> LambdaClient:
        """The functions. A call that may have been carried out is not repeated by the client."""
        config = Config(read_timeout=CALL_SECONDS, retries={"total_max_attempts": 1})
        return self.session.client("lambda", config=config)

    @cached_property
    def jobs(self) -> DynamoJobStore:
        """The jobs, without their large bodies."""
        return DynamoJobStore(self.dynamodb, self.output("TableName"), NoObjectStore())

    @cached_property
    def rentals(self) -> DynamoRentalStore:
        """The rentals."""
        return DynamoRentalStore(self.dynamodb, self.output("TableName"))

    @cached_property
    def token_uses(self) -> DynamoTokenUseStore:
        """The days on which tokens were used last."""
        return DynamoTokenUseStore(self.dynamodb, self.output("TableName"))
