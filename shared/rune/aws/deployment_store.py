"""The deployment's own row of the one DynamoDB table: `DEPLOYMENT`/`DEPLOYMENT`, with its id."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, override

from rune.aws.dynamodb_rows import Expression, attribute
from rune.aws.dynamodb_table import ConditionFailedError, DynamoTable
from rune.clock import from_epoch_ms
from rune.rentals.deployment import Deployment, DeploymentStore, make_deployment_id

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

    type Item = Mapping[str, AttributeValueTypeDef]

_KEY: Item = {"pk": {"S": "DEPLOYMENT"}, "sk": {"S": "DEPLOYMENT"}}


class DynamoDeploymentStore(DeploymentStore):
    """The deployment in a DynamoDB table."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._table = DynamoTable(client, table)

    @override
    def read(self) -> Deployment:
        rows = self._table.get([_KEY])
        return _read(rows[0] if rows else self._make())

    @override
    def close(self, now: datetime) -> Deployment:
        update = "SET #closed_at = if_not_exists(#closed_at, :now)"
        return self._write(update, {":now": attribute("closed_at", now)})

    @override
    def reopen(self) -> Deployment:
        return self._write("REMOVE #closed_at", {})

    def _write(self, update: str, values: dict[str, AttributeValueTypeDef]) -> Deployment:
        deployment = self.read()  # makes the row where there is none
        names = {"#closed_at": "closed_at", "#id": "deployment_id"}
        values = {**values, ":id": {"S": deployment.deployment_id}}
        return _read(self._table.update(_KEY, Expression(update, "#id = :id", names, values)))

    def _make(self) -> Item:
        """Return the row with a new id, or as another process has just made it."""
        expression = Expression(
            "SET #id = :id",
            "attribute_not_exists(#id)",
            {"#id": "deployment_id"},
            {":id": {"S": make_deployment_id()}},
        )
        try:
            return self._table.update(_KEY, expression)
        except ConditionFailedError as error:
            found = error.found[0]
            return found if found is not None else self._table.get([_KEY])[0]


def _read(row: Item) -> Deployment:
    closed_at = from_epoch_ms(int(row["closed_at"]["N"])) if "closed_at" in row else None
    return Deployment(row["deployment_id"]["S"], closed_at)
