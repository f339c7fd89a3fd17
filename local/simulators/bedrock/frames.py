"""`application/vnd.amazon.eventstream`: one binary frame per event, with two checksums.

https://smithy.io/2.0/aws/amazon-eventstream.html
"""

import json
import struct
import zlib
from collections.abc import Mapping

MEDIA_TYPE = "application/vnd.amazon.eventstream"

_STRING = 7
"""The only type of header that Bedrock sends."""


def encode_frame(headers: Mapping[str, str], payload: bytes) -> bytes:
    """Return a frame: lengths and their checksum, headers, payload, and a checksum over all of them."""
    encoded = b"".join(_encode_header(name, value) for name, value in headers.items())
    total_length = 4 + 4 + 4 + len(encoded) + len(payload) + 4
    prelude = struct.pack(">II", total_length, len(encoded))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + encoded + payload
    return message + struct.pack(">I", zlib.crc32(message))


def encode_event(name: str, members: Mapping[str, object]) -> bytes:
    """Return the frame of an event."""
    return encode_frame(
        {":event-type": name, ":content-type": "application/json", ":message-type": "event"}, _dump(members)
    )


def encode_exception(name: str, message: str) -> bytes:
    """Return the frame of an error inside an answer; its name begins with a small letter."""
    return encode_frame(
        {":exception-type": name, ":content-type": "application/json", ":message-type": "exception"},
        _dump({"message": message}),
    )


def corrupt(frame: bytes) -> bytes:
    """Return the frame with a wrong checksum."""
    return frame[:-1] + bytes([frame[-1] ^ 0xFF])


def _encode_header(name: str, value: str) -> bytes:
    data = value.encode()
    return bytes([len(name)]) + name.encode() + bytes([_STRING]) + struct.pack(">H", len(data)) + data


def _dump(members: Mapping[str, object]) -> bytes:
    return json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode()
