"""The read-only part of the Hugging Face hub's protocol: releases as model repositories.

`fedshow/latest` and `fedshow/RELEASE` have one branch, `main`, with one commit: the first 40 digits of
the manifest's sha256. With HF_ENDPOINT=https://this-server and HF_TOKEN a node's token, tools of the
hub download releases as they are.
"""

import asyncio
import re
from typing import Any

from fastapi import APIRouter, Request, Response

from fedshow.errors import InvalidInput, NotFound
from fedshow.releases import FileEntry
from fedshow_server.store import Release, Releases
from fedshow_server.store.releases import LATEST, Shelf
from fedshow_server.web.caching import ASK_AGAIN, FOR_EVER
from fedshow_server.web.doors import REPO, RESOLVE, visitor
from fedshow_server.web.files import FileSender

NAMESPACE = "fedshow"
BRANCH = "main"
COMMIT_DIGITS = 40
COMMIT = re.compile(f"[0-9a-f]{{{COMMIT_DIGITS}}}")
POINTER_BYTES = 135  # size of the text that stands for a large file in git; nobody reads it

NO_REPO, NO_REVISION, NO_FILE = "RepoNotFound", "RevisionNotFound", "EntryNotFound"


class NotOnHub(NotFound):
    """What is missing, in the words that the hub's clients understand."""

    def __init__(self, message: str, kind: str, commit: str | None = None) -> None:
        super().__init__(message)
        self.headers = {"x-error-code": kind} | ({"x-repo-commit": commit} if commit else {})


def hub_routes(releases: Releases, sender: FileSender) -> APIRouter:
    """What `huggingface_hub` asks for when it downloads."""
    routes = APIRouter(include_in_schema=False)

    def hub(request: Request) -> _Hub:
        return _Hub(releases.seen_by(visitor(request)))

    @routes.get(REPO)
    async def model(request: Request, namespace: str, repo: str) -> dict[str, Any]:
        return await asyncio.to_thread(hub(request).info, namespace, repo, BRANCH)

    @routes.get(REPO + "/revision/{revision}")
    async def model_at(
        request: Request, namespace: str, repo: str, revision: str
    ) -> dict[str, Any]:
        return await asyncio.to_thread(hub(request).info, namespace, repo, revision)

    @routes.get(REPO + "/tree/{revision}")
    async def tree(
        request: Request, namespace: str, repo: str, revision: str
    ) -> list[dict[str, Any]]:
        return await asyncio.to_thread(hub(request).tree, namespace, repo, revision)

    @routes.api_route(RESOLVE, methods=["GET", "HEAD"])
    async def resolve(
        request: Request, namespace: str, repo: str, revision: str, path: str
    ) -> Response:
        seen = hub(request)
        found = await asyncio.to_thread(seen.find, namespace, repo, revision)
        entry = await asyncio.to_thread(seen.file, found, path)
        headers = {
            "x-repo-commit": commit_of(found),
            "x-linked-etag": f'"{entry.sha256}"',
            "x-linked-size": str(entry.size_bytes),
            "cache-control": ASK_AGAIN if revision == BRANCH else FOR_EVER,
        }
        return sender.answer(request, path, entry, headers)

    return routes


def commit_of(release: Release) -> str:
    """The one commit that a release has as a repository."""
    return release.manifest_sha256[:COMMIT_DIGITS]


class _Hub:
    """Releases that somebody may have, in the hub's words; raises NotOnHub."""

    def __init__(self, releases: Shelf) -> None:
        self._releases = releases

    def find(self, namespace: str, repo: str, revision: str) -> Release:
        """The release that a repository has at a revision."""
        if namespace != NAMESPACE:
            raise NotOnHub(
                f"repositories here are {NAMESPACE}/{LATEST} or of a release's id", NO_REPO
            )
        if revision == BRANCH:
            return self._main(repo)
        if COMMIT.fullmatch(revision):
            found = self._at(revision)
            if repo == LATEST or found.id == self._main(repo).id:
                return found
        raise NotOnHub(f"{repo} has no revision {revision[:80]!r}", NO_REVISION)

    def file(self, release: Release, path: str) -> FileEntry:
        """One file of a release."""
        try:
            return self._releases.file(release.id, path)
        except NotFound as error:
            raise NotOnHub(str(error), NO_FILE, commit_of(release)) from None

    def info(self, namespace: str, repo: str, revision: str) -> dict[str, Any]:
        """What the hub calls a model's info."""
        found = self.find(namespace, repo, revision)
        files = self._releases.files(found.id)
        name = f"{NAMESPACE}/{repo}"
        return {
            "_id": found.id,
            "id": name,
            "modelId": name,
            "author": NAMESPACE,
            "sha": commit_of(found),
            "lastModified": f"{found.created:%Y-%m-%dT%H:%M:%S.000Z}",
            "createdAt": f"{found.created:%Y-%m-%dT%H:%M:%S.000Z}",
            "private": True,
            "gated": False,
            "disabled": False,
            "library_name": "diffusers",
            "pipeline_tag": "text-to-image",
            "tags": ["diffusers", "text-to-image", "fedshow"],
            "siblings": [{"rfilename": path, **_blob(files[path])} for path in files],
        }

    def tree(self, namespace: str, repo: str, revision: str) -> list[dict[str, Any]]:
        """Every file of a repository."""
        found = self.find(namespace, repo, revision)
        return [
            {"type": "file", "path": path, "oid": entry.sha256[:COMMIT_DIGITS], **_blob(entry)}
            for path, entry in self._releases.files(found.id).items()
        ]

    def _main(self, repo: str) -> Release:
        try:
            return self._releases.get(repo)
        except (NotFound, InvalidInput) as error:
            raise NotOnHub(str(error), NO_REPO) from None

    def _at(self, commit: str) -> Release:
        try:
            return self._releases.by_manifest(commit)
        except NotFound as error:
            raise NotOnHub(str(error), NO_REVISION) from None


def _blob(entry: FileEntry) -> dict[str, Any]:
    """Known by its sha256, which the hub's tools check for files that are kept outside of git."""
    sha256, size = entry.sha256, entry.size_bytes
    kept = {"oid": sha256, "sha256": sha256, "size": size, "pointerSize": POINTER_BYTES}
    return {"size": size, "lfs": kept}
