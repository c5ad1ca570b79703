"""The file format of a recording: each request as it was on the wire, and when it came.

A frame is: u32 big-endian length of the header, the header as JSON, u32 big-endian length of the body, the body.
"""

import gzip
import json
import struct
from collections.abc import Iterator
from typing import BinaryIO

HEADER_BYTES_MAX = 4096
BODY_BYTES_MAX = 4 * 1024 * 1024


def write_frame(out: BinaryIO, header: dict, body: bytes) -> None:
    text = json.dumps(header, separators=(",", ":")).encode()
    out.write(struct.pack(">I", len(text)) + text + struct.pack(">I", len(body)) + body)


def read_frames(source: BinaryIO) -> Iterator[tuple[dict, bytes]]:
    while length := source.read(4):
        header = json.loads(_exactly(source, struct.unpack(">I", length)[0], HEADER_BYTES_MAX))
        body = _exactly(source, struct.unpack(">I", _exactly(source, 4, 4))[0], BODY_BYTES_MAX)
        yield header, body


def decompressed(header: dict, body: bytes) -> bytes:
    return gzip.decompress(body) if header.get("contentEncoding") == "gzip" else body


def _exactly(source: BinaryIO, length: int, limit: int) -> bytes:
    if length > limit:
        raise ValueError(f"{length} bytes announced, the limit is {limit}")
    data = source.read(length)
    if len(data) != length:
        raise ValueError(f"the recording ends inside a frame: {len(data)} of {length} bytes")
    return data
