"""Large bodies in an S3 bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from rune.errors import StoreUnavailableError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class S3Bodies:
    """Texts in a bucket, whose lifecycle rule removes them after the jobs' retention.

    Parameters
    ----------
    content_type
        What a browser or a client is told that they are.
    """

    def __init__(self, client: S3Client, bucket: str, content_type: str = "application/json") -> None:
        self._client = client
        self._bucket = bucket
        self._content_type = content_type

    def put(self, key: str, text: str) -> None:
        """Store the text under the key; the same key again overwrites."""
        try:
            self._client.put_object(
                Bucket=self._bucket, Key=key, Body=text.encode(), ContentType=self._content_type
            )
        except (BotoCoreError, ClientError) as error:
            raise StoreUnavailableError("The bucket cannot be reached now.") from error

    def get(self, key: str) -> str:
        """Return what `put` stored."""
        try:
            return self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read().decode()
        except (BotoCoreError, ClientError) as error:
            raise StoreUnavailableError("The bucket cannot be reached now.") from error
