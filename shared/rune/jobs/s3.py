"""Large bodies in an S3 bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from rune.errors import StoreUnavailableError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class S3Bodies:
    """JSON documents in a bucket, whose lifecycle rule removes them after the jobs' retention."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def put(self, key: str, text: str) -> None:
        """Store the text under the key; the same key again overwrites."""
        try:
            self._client.put_object(
                Bucket=self._bucket, Key=key, Body=text.encode(), ContentType="application/json"
            )
        except (BotoCoreError, ClientError) as error:
            raise StoreUnavailableError("The bucket cannot be reached now.") from error

    def get(self, key: str) -> str:
        """Return what `put` stored."""
        try:
            return self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read().decode()
        except (BotoCoreError, ClientError) as error:
            raise StoreUnavailableError("The bucket cannot be reached now.") from error
