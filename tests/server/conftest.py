"""A shared server with nodes of every role, and a store of every kind."""

from types import SimpleNamespace

import pytest

from fedshow.roles import Role
from fedshow.wire import JOIN_PATH
from fedshow_server.store import open_store
from tests.server.backends import _s3_server, postgres, s3  # noqa: F401  # fixtures
from tests.stage.concepts import CARD, concept_bytes, make_data
from tests.stage.member import Member, openssh_line
from tests.stage.server import Server
from tests.stage.waiting import PATIENCE_SECONDS, eventually, free_port


@pytest.fixture(scope="session")
def tools():
    """What tests build servers, nodes and files with."""
    return SimpleNamespace(
        card=CARD,
        concept_bytes=concept_bytes,
        make_data=make_data,
        free_port=free_port,
        eventually=eventually,
        patience_seconds=PATIENCE_SECONDS,
        Server=Server,
        openssh_line=openssh_line,
    )


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """A running server, shared by the tests that do not stop it."""
    found = Server(make_data(tmp_path_factory.mktemp("server") / "data"))
    found.start()
    yield found
    assert found.end() == 0


@pytest.fixture(scope="session")
def joined(tmp_path_factory):
    """A function that makes a new member of a server."""
    return lambda server, name, role=Role.CONTRIBUTOR: Member.redeem(
        server, server.invite(name, role), tmp_path_factory.mktemp(name)
    )


@pytest.fixture(scope="session")
def member(server, joined):
    """A node of the shared server."""
    return joined(server, "anna")


@pytest.fixture(scope="session")
def everybody(server, member, joined):
    """A node of every role."""
    return {
        Role.OWNER: joined(server, "olga", Role.OWNER),
        Role.CONTRIBUTOR: member,
        Role.DOWNLOADER: joined(server, "dean", Role.DOWNLOADER),
    }


@pytest.fixture(scope="session")
def useless_tokens(server, joined):
    """Tokens that were never good, or are no more."""
    revoked, rejoined = joined(server, "rita", Role.OWNER), joined(server, "rory", Role.OWNER)
    server.revoke("rita")
    with server.http() as client:
        assert client.post(JOIN_PATH, json=rejoined.request.model_dump()).is_success
    return {"wrong": "x" * 43, "revoked": revoked.reply.token, "replaced": rejoined.reply.token}


@pytest.fixture(params=["sqlite", "postgres", "s3"])
def store(request, tmp_path):
    """An empty store of every kind there is: each database, each place for content."""
    database, content = f"sqlite:///{tmp_path / 'fedshow.db'}", tmp_path / "blobs"
    if request.param == "postgres":
        database = request.getfixturevalue("postgres").new_database()
    if request.param == "s3":
        content = request.getfixturevalue("s3").new_prefix()
    found = open_store(database, content)
    yield found
    found.close()


@pytest.fixture
def own_store(tmp_path):
    """An empty store of the kind that servers begin with."""
    found = open_store(f"sqlite:///{tmp_path / 'x.db'}", tmp_path / "blobs")
    yield found
    found.close()
