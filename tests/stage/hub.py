"""A stand-in for the hub: folders as repositories, by the part of its protocol that downloads."""

import json
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "c" * 40


class Hub(ThreadingHTTPServer):
    """Serves `{id: folder}` on a free port; `asked` are the files that were downloaded."""

    daemon_threads = True

    def __init__(self, repos: dict[str, Path]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repos, self.asked = repos, set[str]()

    @property
    def address(self) -> str:
        """What HF_ENDPOINT must say."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        parts = self.path.partition("?")[0].strip("/").split("/")
        listing = parts[:2] == ["api", "models"]
        repo = "/".join(parts[2:4] if listing else parts[:2])
        folder = self.server.repos.get(repo)
        if folder is None:
            return self._send(404, b"", {"x-error-code": "RepoNotFound"}, body)
        if listing:
            found = _tree(folder) if "tree" in parts else _info(repo, folder)
            return self._send(200, json.dumps(found).encode(), {}, body)
        path = "/".join(parts[4:])
        if not (folder / path).is_file():
            headers = {"x-error-code": "EntryNotFound", "x-repo-commit": COMMIT}
            return self._send(404, b"", headers, body)
        if body:
            self.server.asked.add(path)
        content = (folder / path).read_bytes()
        headers = {"etag": f'"{sha256(content).hexdigest()}"', "x-repo-commit": COMMIT}
        return self._send(200, content, headers, body)

    def _send(self, status: int, content: bytes, headers: dict[str, str], body: bool) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing on standard error."""


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


def _info(repo: str, folder: Path) -> dict[str, object]:
    names = [path.relative_to(folder).as_posix() for path in _files(folder)]
    siblings = [{"rfilename": name} for name in names]
    return {"_id": repo, "id": repo, "modelId": repo, "sha": COMMIT, "siblings": siblings}


def _tree(folder: Path) -> list[dict[str, object]]:
    return [
        {
            "type": "file",
            "path": path.relative_to(folder).as_posix(),
            "oid": sha256(path.read_bytes()).hexdigest()[:40],
            "size": path.stat().st_size,
        }
        for path in _files(folder)
    ]
