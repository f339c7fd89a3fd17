"""A queue's consumer that reads a request, calls a server, writes a row and sends the next message."""

import asyncio
from collections.abc import Mapping

import boto3
import httpx
from pydantic import BaseModel

_session = boto3.session.Session()
_dynamodb, _sqs = _session.client("dynamodb"), _session.client("sqs")


class _Message(BaseModel):
    job_id: str
    seq: int


def handle(event: Mapping[str, list[dict[str, str]]], _context: object) -> None:
    """Take each message."""
    for record in event["Records"]:
        asyncio.run(_take(_Message.model_validate_json(record["body"])))


async def _take(message: _Message) -> None:
    key = {"pk": {"S": f"JOB#{message.job_id}"}, "sk": {"S": "REQUEST"}}
    _dynamodb.batch_get_item(RequestItems={"table": {"Keys": [key]}})
    _dynamodb.update_item(TableName="table", Key=key)
    found = _dynamodb.batch_get_item(RequestItems={"table": {"Keys": [key]}})
    (row,) = found["Responses"]["table"]
    async with httpx.AsyncClient(base_url=row["url"]["S"]) as client:
        (await client.get("/api/tags")).raise_for_status()
        (await client.post("/api/show", json={"model": row["model"]["S"]})).raise_for_status()
    _dynamodb.transact_write_items(TransactItems=[{"Put": {"TableName": "table", "Item": key}}])
    _sqs.send_message(QueueUrl="http://127.0.0.1/0/money", MessageBody=message.model_dump_json())
