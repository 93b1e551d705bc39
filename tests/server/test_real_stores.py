"""A whole server on PostgreSQL and S3: the life of a concept, and the database restarted under it."""

from hashlib import sha256

import pytest

from fedshow import rpc
from fedshow.v1 import concepts_pb2 as cpb
from fedshow.v1 import releases_pb2 as rpb


@pytest.fixture
def remote_server(tools, postgres, s3, tmp_path):
    """A server that keeps nothing but keys and logs in its folder."""
    environment = {
        "FEDSHOW_SERVER_DATABASE": postgres.new_database(),
        "FEDSHOW_SERVER_STORE": s3.new_prefix(),
    }
    found = tools.Server(tools.make_data(tmp_path / "data"), environment=environment)
    found.start()
    yield found
    assert found.end() == 0


def releases(calls):
    with rpc.typed_errors():
        return calls.releases.ListReleases(rpb.ListReleasesRequest(), timeout=60).releases


def submit(calls, tools, member, blob):
    with rpc.typed_errors():
        request = cpb.SubmitConceptRequest(
            name="potter",
            class_word="man",
            sha256=member.put(blob),
            size_bytes=len(blob),
            base_sha256=tools.card.sha256,
        )
        calls.concepts.SubmitConcept(request, timeout=60)


@pytest.mark.slow
def test_life_on_postgresql_and_s3(remote_server, postgres, joined, tools):
    anna = joined(remote_server, "anna")
    with anna.supernode(remote_server), anna.calls() as calls:
        submit(calls, tools, anna, tools.concept_bytes("potter"))
        (first,) = tools.eventually(lambda: releases(calls))

        postgres.stop()
        postgres.start()
        submit(calls, tools, anna, tools.concept_bytes("potter", seed=1))
        second, _ = tools.eventually(lambda: len(releases(calls)) == 2 and releases(calls))
        assert first.id != second.id

        request = rpb.GetReleaseRequest(release=second.id)
        for file in calls.releases.GetRelease(request, timeout=60).release.files:
            asked = rpb.DownloadFileRequest(sha256=file.sha256)
            came = b"".join(part.chunk for part in calls.releases.DownloadFile(asked, timeout=60))
            assert (len(came), sha256(came).hexdigest()) == (file.size_bytes, file.sha256)
    assert not list((remote_server.data / "blobs").rglob("*"))
    assert not list(remote_server.data.glob("fedshow.db*"))
