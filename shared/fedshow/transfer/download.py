"""One file from a server: resumed where it stopped, hashed as it arrives, real only when right."""

from collections.abc import Callable, Iterator
from pathlib import Path

from fedshow.errors import Unreachable
from fedshow.transfer.backoff import Patience
from fedshow.transfer.connection import STREAM_SECONDS, Connection
from fedshow.transfer.part import PartFile
from fedshow.v1.releases_pb2 import DownloadFileRequest, ReleaseFile

Progress = Callable[[int], None]
"""Told of each piece that arrived, in bytes; negative when damaged bytes were thrown away."""


def download_file(
    connection: Connection,
    want: ReleaseFile,
    target: Path,
    patience: Patience,
    progress: Progress = lambda _: None,
    digests: bytes = b"",
) -> None:
    """Puts the file at `target`, whole and verified; what is right of an earlier `.part` stays.

    With the `digests` of its pieces, damage costs the pieces that it hit. Raises Unreachable when
    patience ends (the part stays), Damaged when the server sends wrong bytes again and again.
    """
    with PartFile(target, want, digests) as part:
        here = part.here()
        progress(here)
        while run := part.missing():
            try:
                for chunk in _stream(connection, want, run):
                    part.append(chunk, run[1])
                    progress(part.here() - here)
                    here = part.here()
                    patience.progressed()
                if part.position < run[1]:
                    raise Unreachable(
                        f"{want.path}: the stream ended at {part.position} of {run[1]}"
                    )
            except Unreachable as error:
                patience.wait(error)
        part.finish()


def _stream(connection: Connection, want: ReleaseFile, run: tuple[int, int]) -> Iterator[bytes]:
    request = DownloadFileRequest(
        sha256=want.sha256, offset_bytes=run[0], length_bytes=run[1] - run[0]
    )
    with connection.translated():
        for reply in connection.releases.DownloadFile(request, timeout=STREAM_SECONDS):
            yield reply.chunk
