"""Large bodies in an S3 bucket, and links to them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, override

from rune.aws.errors import store_errors
from rune.jobs.store import ObjectStore

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class S3ObjectStore(ObjectStore):
    """Texts in a bucket, whose lifecycle rule removes them after the jobs' retention.

    Parameters
    ----------
    get_client
        Called for each text: many invocations have none, and the client takes 50 ms to make.
    content_type
        Media type with which the bucket serves them.
    """

    def __init__(
        self, get_client: Callable[[], S3Client], bucket: str, content_type: str = "application/json"
    ) -> None:
        self._get_client = get_client
        self._bucket = bucket
        self._content_type = content_type

    @override
    def put(self, key: str, text: str) -> None:
        with store_errors("The bucket cannot be reached now."):
            self._get_client().put_object(
                Bucket=self._bucket, Key=key, Body=text.encode(), ContentType=self._content_type
            )

    @override
    def get(self, key: str) -> str:
        with store_errors("The bucket cannot be reached now."):
            return self._get_client().get_object(Bucket=self._bucket, Key=key)["Body"].read().decode()


class S3Parts:
    """Parts of large objects of a bucket."""

    def __init__(self, get_client: Callable[[], S3Client], bucket: str) -> None:
        self._get_client = get_client
        self._bucket = bucket

    def read(self, key: str, begin: int, most_bytes: int) -> tuple[bytes, int]:
        """Return up to so many bytes of an object from a place on, and how many it has in all.

        Raises
        ------
        StoreUnavailableError
            The bucket cannot be reached, or has no such object, or none that is that long.
        """
        with store_errors("The bucket cannot be reached now."):
            answer = self._get_client().get_object(
                Bucket=self._bucket, Key=key, Range=f"bytes={begin}-{begin + most_bytes - 1}"
            )
            data = answer["Body"].read()
        # bytes 0-99/1234
        return data, int(answer["ContentRange"].rpartition("/")[2])


class S3Links:
    """Addresses at which objects of a bucket can be read for a limited time, signed with the function's role.

    Parameters
    ----------
    make_client
        Called at the first link: few requests make any, and a client takes 50 ms to make.
    """

    def __init__(self, make_client: Callable[[], S3Client], bucket: str) -> None:
        self._make_client = make_client
        self._bucket = bucket
        self._client: S3Client | None = None

    def link(self, key: str, lifetime: timedelta) -> str:
        """Return an address at which anyone may read the object, and do nothing else.

        It expires earlier if the role's credentials do, which Lambda renews hours before.

        Raises
        ------
        StoreUnavailableError
            The function has no credentials now.
        """
        self._client = self._client or self._make_client()
        with store_errors("No link into the bucket can be signed now."):
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
