"""An HTTP API that notes a token's use, and reads a row, or reads some, writes one and sends a message."""

import asyncio
from collections.abc import Mapping

import boto3
from fastapi import FastAPI, Request
from mangum import Mangum
from mangum.types import LambdaContext, LambdaEvent

_TOKEN = {"pk": {"S": "TENANT#default"}, "sk": {"S": "TOKEN"}}
_session = boto3.session.Session()
_dynamodb, _sqs = _session.client("dynamodb"), _session.client("sqs")
app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)


@app.get("/v1/jobs/{job_id}", response_model=None)
async def get_job(request: Request) -> Mapping[str, object]:
    """Note the use of a token, and read a row."""
    _dynamodb.update_item(TableName="table", Key=_TOKEN)
    key = {"pk": {"S": f"JOB#{request.path_params['job_id']}"}}
    found = _dynamodb.batch_get_item(RequestItems={"table": {"Keys": [key]}})
    return {"count": len(found["Responses"]["table"])}


@app.post("/v1/jobs/benchmark", response_model=None, status_code=202)
async def post_benchmark(request: Request) -> Mapping[str, object]:
    """Note the use of a token, look at the places, write a row, and send a message."""
    _dynamodb.update_item(TableName="table", Key=_TOKEN)
    body = await request.json()
    _dynamodb.query(
        TableName="table",
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": "PLACES"}},
    )
    row = {"pk": {"S": body["question"]}}
    _dynamodb.transact_write_items(TransactItems=[{"Put": {"TableName": "table", "Item": row}}])
    sent = _sqs.send_message(QueueUrl="http://127.0.0.1/0/money", MessageBody=body["question"])
    return {"id": sent["MessageId"]}


asyncio.set_event_loop(asyncio.new_event_loop())
_adapter = Mangum(app, lifespan="off")


def handle(event: LambdaEvent, context: LambdaContext) -> Mapping[str, object]:
    """Answer a request."""
    return _adapter(event, context)
