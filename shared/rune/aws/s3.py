"""Large bodies in an S3 bucket, and links to them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from rune.errors import StoreUnavailableError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class S3ObjectStore:
    """Texts in a bucket, whose lifecycle rule removes them after the jobs' retention.

    Parameters
    ----------
    get_client
        Called for each text: few are large enough to come here, and the client takes 50 ms to make.
    content_type
        What a browser or a client is told that they are.
    """

    def __init__(
        self, get_client: Callable[[], S3Client], bucket: str, content_type: str = "application/json"
    ) -> None:
        self._get_client = get_client
        self._bucket = bucket
        self._content_type = content_type

    def put(self, key: str, text: str) -> None:
        """Store the text under the key; the same key again overwrites."""
        try:
            self._get_client().put_object(
                Bucket=self._bucket, Key=key, Body=text.encode(), ContentType=self._content_type
            )
        except (BotoCoreError, ClientError) as error:
            raise StoreUnavailableError("The bucket cannot be reached now.") from error

    def get(self, key: str) -> str:
        """Return what `put` stored."""
        try:
            return self._get_client().get_object(Bucket=self._bucket, Key=key)["Body"].read().decode()
        except (BotoCoreError, ClientError) as error:
            raise StoreUnavailableError("The bucket cannot be reached now.") from error


class S3Links:
    """Addresses at which single objects of a bucket can be read for a while, signed with the function's own role.

    Parameters
    ----------
    make_client
        Called at the first link: few requests make any, and a client takes its time.
    """

    def __init__(self, make_client: Callable[[], S3Client], bucket: str) -> None:
        self._make_client = make_client
        self._bucket = bucket
        self._client: S3Client | None = None

    def link(self, key: str, lifetime: timedelta) -> str:
        """Return an address at which anybody may read the object, and do nothing else.

        It ends earlier if the role's credentials do, which Lambda renews hours before.
        """
        self._client = self._client or self._make_client()
        try:
            return self._client.generate_presigned_url(
                "get_object",
                Params={
                    "Bucket": self._bucket,
                    "Key": key,
                    "ResponseContentType": "application/x-ndjson",
                },
                ExpiresIn=int(lifetime.total_seconds()),
                HttpMethod="GET",
            )
        except (BotoCoreError, ClientError) as error:
            raise StoreUnavailableError("No link into the bucket can be signed now.") from error
