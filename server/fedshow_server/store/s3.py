"""Blobs in an S3-compatible store: `<prefix>/<first two digits>/<digest>`.

Credentials, region and endpoint are those of the AWS tools: AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL, profiles and so on. Objects appear when they are whole:
one PUT, or a multipart upload that is completed after its digest was checked.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from hashlib import sha256
from io import SEEK_SET, BufferedIOBase
from pathlib import Path
from typing import Any, BinaryIO, cast

from fedshow.errors import InvalidInput, NotFound, Unreachable
from fedshow_server.store.blobs import check_digest, copy, damaged

SCHEME = "s3://"
READ_BLOCK_BYTES = 4 << 20
PROBE = b"fedshow keeps its content here\n"


class S3Blobs:
    """Blobs below `s3://BUCKET/PREFIX`. Every call raises Unreachable when the store fails."""

    def __init__(self, url: str) -> None:
        """Raises InvalidInput when no S3 driver is installed."""
        try:
            import s3fs  # a second, and only where it is wanted
        except ImportError:
            raise InvalidInput(f"store {url!r} needs s3fs: pip install 'fedshow[s3]'") from None
        self._url = url
        self._root = url.removeprefix(SCHEME).rstrip("/")
        self._files: Any = s3fs.S3FileSystem(use_listings_cache=False)

    def check(self) -> None:
        """Raises InvalidInput unless content can be written there and read again."""
        try:
            with self.open(self.put(PROBE)) as file:
                assert file.read() == PROBE
        except (NotFound, Unreachable) as error:
            raise InvalidInput(f"store {self._url!r} cannot be used: {error}") from None

    def put(self, content: bytes) -> str:
        """Keeps `content` and returns its digest; in the store when this returns."""
        digest = sha256(content).hexdigest()
        if not self.has(digest):
            with self._speaking(digest):
                self._files.pipe_file(self._path(digest), content)
        return digest

    def put_file(self, path: Path, digest: str) -> None:
        """Keeps the file at `path`; raises Damaged unless it has that digest."""
        if self.has(digest):
            return
        with self._speaking(digest):
            out = self._files.open(self._path(digest), "wb", autocommit=False)
            try:
                found = copy(path, out)
                out.close()
                if found != digest:
                    raise damaged(path, found, digest)
                out.commit()
            except BaseException:
                out.discard()
                raise

    def open(self, digest: str) -> BinaryIO:
        """The content, readable and seekable, in ranges; raises NotFound."""
        with self._speaking(digest):
            file = self._files.open(self._path(digest), "rb", block_size=READ_BLOCK_BYTES)
        return cast(BinaryIO, _Content(file, lambda: self._speaking(digest)))

    def has(self, digest: str) -> bool:
        """Whether the content is there."""
        with self._speaking(digest):
            return bool(self._files.exists(self._path(digest)))

    def delete(self, digest: str) -> None:
        """Forgets the content, if it is there; only `Pruning` may, which knows what is needed."""
        path = self._path(digest)
        with suppress(NotFound), self._speaking(digest):
            self._files.rm_file(path)

    def _path(self, digest: str) -> str:
        return f"{self._root}/{check_digest(digest)[:2]}/{digest}"

    @contextmanager
    def _speaking(self, digest: str) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except FileNotFoundError as error:
            missing = f"no content {digest[:12]}… here"
            raise NotFound(f"{missing} ({error})" if "bucket" in str(error) else missing) from None
        except (OSError, BotoCoreError, ClientError) as error:
            raise Unreachable(f"the content store does not answer: {str(error)[:200]}") from error


class _Content(BufferedIOBase):
    """A file that fails in our words, however late in its reading the store goes away."""

    def __init__(self, file: Any, speaking: Callable[[], AbstractContextManager[None]]) -> None:
        self._file, self._speaking = file, speaking

    def read(self, size: int | None = -1, /) -> bytes:
        with self._speaking():
            return bytes(self._file.read(-1 if size is None else size))

    def seek(self, offset: int, whence: int = SEEK_SET, /) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        super().close()
