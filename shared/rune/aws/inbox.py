"""The bucket into which others put requests, and where they find the answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from rune.aws.errors import code_of, store_errors

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import GetObjectRequestTypeDef

OF_DROP = "rune-drop"
"""Name of the object's metadata that says whose answer it is."""

NOT_THERE = frozenset({"NoSuchKey", "NoSuchVersion", "PreconditionFailed", "MethodNotAllowed", "404", "412"})
"""Deleted, overwritten in a bucket without versions, or a version that marks a deletion.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
"""

UNAVAILABLE = "The inbox cannot be reached now."


class S3Inbox:
    """Objects below `inbox/`, and answers below `outbox/`.

    Parameters
    ----------
    owner
        The account to which the bucket must belong: a name that was given up can be taken by another account.
    """

    def __init__(self, get_client: Callable[[], S3Client], bucket: str, owner: str) -> None:
        self._get_client = get_client
        self._bucket = bucket
        self._owner = owner

    def fetch(self, key: str, version_id: str | None, etag: str, largest_bytes: int) -> bytes | None:
        """Return the very object, or its first bytes, one more than the largest; None where it is no more there."""
        asked: GetObjectRequestTypeDef = {
            "Bucket": self._bucket,
            "Key": key,
            "ExpectedBucketOwner": self._owner,
        }
        if version_id:
            asked["VersionId"] = version_id
        elif etag:
            asked["IfMatch"] = f'"{etag}"'
        return self._read(asked, largest_bytes + 1)

    def read_answer(self, key: str, drop_id: str) -> str | None:
        """Return the answer under the key; None where there is none, or it is another object's."""
        asked: GetObjectRequestTypeDef = {
            "Bucket": self._bucket,
            "Key": key,
            "ExpectedBucketOwner": self._owner,
        }
        with store_errors(UNAVAILABLE):
            try:
                found = self._get_client().get_object(**asked)
            except ClientError as error:
                if code_of(error) in NOT_THERE:
                    return None
                raise
            is_own = found["Metadata"].get(OF_DROP) == drop_id
            return found["Body"].read().decode() if is_own else None

    def write_answer(self, key: str, drop_id: str, text: str, *, has_lines: bool) -> None:
        """Write an answer in place of an earlier one."""
        with store_errors(UNAVAILABLE):
            self._get_client().put_object(
                Bucket=self._bucket,
                Key=key,
                Body=text.encode(),
                ContentType="application/x-ndjson" if has_lines else "application/json",
                Metadata={OF_DROP: drop_id},
                ExpectedBucketOwner=self._owner,
            )

    def _read(self, asked: GetObjectRequestTypeDef, most_bytes: int) -> bytes | None:
        with store_errors(UNAVAILABLE):
            try:
                return self._get_client().get_object(**asked)["Body"].read(most_bytes)
            except ClientError as error:
                if code_of(error) in NOT_THERE:
                    return None
                raise
