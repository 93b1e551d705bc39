"""The bytes of released files out of the store, for every protocol that sends them."""

import asyncio
from collections.abc import AsyncGenerator

from fedshow_server.store import Blobs


async def read_content(
    blobs: Blobs, sha256: str, start: int, end: int, block_bytes: int
) -> AsyncGenerator[bytes, None]:
    """The bytes from `start` up to `end`, in blocks; costs no thread while nobody takes them.

    Raises NotFound.
    """
    with await asyncio.to_thread(blobs.open, sha256) as file:
        file.seek(start)
        while start < end:
            block = await asyncio.to_thread(file.read, min(block_bytes, end - start))
            if not block:  # a disk lost the rest: whoever asked finds too little
                return
            start += len(block)
            yield block
