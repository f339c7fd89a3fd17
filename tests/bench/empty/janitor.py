"""A minute tick that reads one index."""

import boto3

_session = boto3.session.Session()
_dynamodb, _sqs = _session.client("dynamodb"), _session.client("sqs")


def handle(_event: object, _context: object) -> int:
    """Return how many rows there are."""
    found = _dynamodb.query(
        TableName="table",
        IndexName="due",
        KeyConditionExpression="due_bucket = :bucket",
        ExpressionAttributeValues={":bucket": {"S": "DUE"}},
    )
    return found["Count"]
