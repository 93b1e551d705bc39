"""What the owner types, and what the server says when it cannot start."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from fedshow.errors import Forbidden, InvalidInput, NotFound
from fedshow.joining import JoinCode
from fedshow.roles import Role
from fedshow_server.commands import members as commands
from fedshow_server.folder import DataFolder, Facts
from fedshow_server.settings import load_settings
from fedshow_server.upkeep.backup import make_backup
from fedshow_server.web.watching import metrics_routes

FLOWERS = "GRPC_VERBOSITY"
"""Set by Flower in every process that imports it, as this one may have."""


def fedshow(*words):
    command = [sys.executable, "-m", "fedshow.cli", *words]
    own = {name: value for name, value in os.environ.items() if name != FLOWERS}
    return subprocess.run(command, capture_output=True, text=True, timeout=240, env=own)


def one_line(result):
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr


@pytest.mark.parametrize("option", ["--listen", "--grpc-listen"])
def test_port_in_use_is_said_clearly(tools, tmp_path, option):
    data = tools.make_data(tmp_path / "data")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        addresses = {"--listen": "127.0.0.1:0", "--grpc-listen": "127.0.0.1:0", option: address}
        words = [word for pair in addresses.items() for word in pair]
        said = one_line(fedshow("server", "run", "--data", str(data), "--base", "tiny", *words))
    assert address in said
    assert option in said


def test_one_server_per_folder(server):
    said = one_line(fedshow("server", "run", "--data", str(server.data), "--base", "tiny"))
    assert "runs on" in said


def test_data_belong_to_their_base(tools, tmp_path):
    data = tools.make_data(tmp_path / "data")
    words = ("--base", "other", "--listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:0")
    said = one_line(fedshow("server", "run", "--data", str(data), *words))
    assert "belong to base 'tiny', not 'other'" in said


def test_server_ends_while_it_looks_at_its_base(tools, tmp_path):
    """The base loads for seconds, or downloads for minutes: Ctrl-C must not wait for that."""
    data = tmp_path / "data"
    words = ("--listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:0")
    command = [*(sys.executable, "-m", "fedshow.cli", "server", "run"), "--data", str(data), *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        for line in server.stderr:
            if "looking at base" in line:
                break
        server.terminate()
        rest = server.stderr.read()
        assert server.wait(tools.patience_seconds) == 0
    assert rest == ""
    assert not (data / "base.json").exists(), "it went on until the base was described"


def test_commands_need_a_server_that_ran(tmp_path):
    for call in (
        lambda: commands.invite("anna", Role.OWNER, 24.0, tmp_path, None, False),
        lambda: commands.concepts(False, tmp_path, None, False),
        lambda: commands.nodes(tmp_path, None, False),
        lambda: commands.remove("potter", tmp_path, None, False),
        lambda: commands.revoke("anna", tmp_path, None, False),
    ):
        with pytest.raises(InvalidInput, match="no server has run"):
            call()


def test_owner_sees_nodes_and_concepts(server, member, capsys):
    commands.nodes(server.data, None, True)
    assert "anna" in [node["name"] for node in json.loads(capsys.readouterr().out)]
    commands.nodes(server.data, None, False)
    assert "anna" in capsys.readouterr().out
    commands.concepts(False, server.data, None, True)
    assert json.loads(capsys.readouterr().out) == []
    commands.concepts(False, server.data, None, False)
    assert capsys.readouterr().out.split()[0] == "name"
    with pytest.raises(NotFound, match="no concept 'potter'"):
        commands.remove("potter", server.data, None, False)
    with pytest.raises(NotFound, match="no active node 'nobody'"):
        commands.revoke("nobody", server.data, None, False)


def test_invite_prints_the_code_and_nothing_else(server):
    answer = fedshow("server", "invite", "zoe", "--data", str(server.data), "--hours", "2")
    code = JoinCode.parse(answer.stdout.strip())
    assert code.address == f"127.0.0.1:{server.port}"
    assert "good once, for 2 h" in answer.stderr
    said = one_line(fedshow("server", "invite", "no name", "--data", str(server.data)))
    assert "node name 'no name'" in said


def test_settings_flags_over_environment_over_file(tmp_path, monkeypatch):
    file = tmp_path / "server.toml"
    file.write_text('base = "from-file"\nquiet_seconds = 7\nlisten = "0.0.0.0:9000"\n')
    monkeypatch.setenv("FEDSHOW_SERVER_BASE", "from-environment")
    monkeypatch.setenv("FEDSHOW_SERVER_QUIET_SECONDS", "8")
    found = load_settings(data=tmp_path, quiet_seconds=9.0, base=None)
    assert (found.base, found.quiet_seconds) == ("from-environment", 9.0)
    assert found.grpc_address == "0.0.0.0:9001"
    assert found.name == socket.gethostname()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("colour = 1", "colour = 1: no such setting; did you mean"),
        ("quiet_seconds = -1", "quiet_seconds = -1"),
        ('listen = "nowhere"', "listen = 'nowhere'"),
        ('listen = "host:70000"', "at most 65535"),
        ("max_concept_bytes = 9999999999999", "max_concept_bytes"),
        ("not toml", "line 1"),
        ("base = 'toyworld", "at end of document"),
        ("[server]", "server = {}"),
        ('store = "gs://bucket"', "s3://BUCKET/PREFIX"),
        ('store = "s3://"', "s3://BUCKET/PREFIX"),
    ],
)
def test_bad_settings_are_named(tmp_path, text, words):
    file = tmp_path / "server.toml"
    file.write_text(text)
    for config in (file, None):  # named, or found in the folder
        with pytest.raises(InvalidInput, match=words) as caught:
            load_settings(config, data=tmp_path)
        assert f"settings file {file}" in str(caught.value)


def test_unknown_variables_are_errors(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDSHOW_SERVER_QUITE_SECONDS", "7")
    with pytest.raises(InvalidInput, match=r"QUITE_SECONDS: .* mean FEDSHOW_SERVER_QUIET_SECONDS"):
        load_settings(data=tmp_path)


def test_content_lies_where_it_is_told(tmp_path, monkeypatch):
    assert load_settings(data=tmp_path).store_url == str(tmp_path / "blobs")
    monkeypatch.setenv("FEDSHOW_SERVER_STORE", "s3://bucket/some/prefix")
    assert load_settings(data=tmp_path).store_url == "s3://bucket/some/prefix"
    assert load_settings(data=tmp_path, store="x").store_url == str(Path("x").absolute())


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("sqlite:///fed.db", "sqlite:///{here}/fed.db"),
        (
            "sqlite+pysqlite:///a/../fed.db?timeout=9",
            "sqlite+pysqlite:///{here}/a/../fed.db?timeout=9",
        ),
        ("sqlite:////srv/fed.db", "sqlite:////srv/fed.db"),
        ("sqlite:///file:fed.db?uri=true", "sqlite:///file:fed.db?uri=true"),
        ("postgresql://me:se%20cret@host/x", "postgresql://me:se%20cret@host/x"),
        ("nonsense", "nonsense"),
    ],
)
def test_a_database_is_the_same_from_everywhere(tmp_path, monkeypatch, given, found):
    monkeypatch.chdir(tmp_path)
    settings = load_settings(data=tmp_path / "data", database=given)
    assert settings.database_url == found.format(here=tmp_path)


def test_owners_make_no_database_where_none_is(tools, tmp_path):
    """Not even by a relative URL that a server of earlier left, typed in another folder."""
    folder = DataFolder(tools.make_data(tmp_path / "data"))
    for database in (f"sqlite:///{tmp_path}/gone.db", "sqlite:///gone.db"):
        folder.keep_facts(Facts(name="x", address="x:1", grpc="x:2", database=database))
        for run in (
            lambda: commands.nodes(folder.path, None, True),
            lambda: make_backup(folder, tmp_path / "b.tar"),
        ):
            with pytest.raises(InvalidInput, match=r"the database .*gone\.db is missing"):
                run()
    assert not list(tmp_path.glob("*.db")) + list(Path().glob("gone.db"))


@pytest.mark.parametrize("token", ["", "numbers"])
def test_an_empty_token_is_none(tmp_path, monkeypatch, token):
    monkeypatch.setenv("FEDSHOW_SERVER_METRICS_TOKEN", token)
    app = FastAPI()
    app.include_router(metrics_routes(lambda: b"", load_settings(data=tmp_path).metrics_token))

    async def ask():
        from_afar = httpx.ASGITransport(app, client=("203.0.113.7", 1))
        async with httpx.AsyncClient(transport=from_afar, base_url="http://x") as client:
            await client.get("/metrics")

    with pytest.raises(Forbidden):
        asyncio.run(ask())


def test_bad_settings_are_looked_for_where_they_are(tmp_path, monkeypatch):
    file = tmp_path / "server.toml"
    file.write_text("quiet_seconds = 7")
    monkeypatch.setenv("FEDSHOW_SERVER_QUIET_SECONDS", "never")
    with pytest.raises(InvalidInput, match=r"^FEDSHOW_SERVER_QUIET_SECONDS: .*'never'"):
        load_settings(data=tmp_path)
    with pytest.raises(InvalidInput, match=r"^--quiet-seconds: .*-1\.0"):
        load_settings(data=tmp_path, quiet_seconds=-1.0)
    monkeypatch.delenv("FEDSHOW_SERVER_QUIET_SECONDS")
    with pytest.raises(InvalidInput, match=f"^settings file {tmp_path}/other.toml does not exist"):
        load_settings(tmp_path / "other.toml", data=tmp_path)
    file.write_bytes(b"base = '\xff'")
    with pytest.raises(InvalidInput, match=f"^settings file {file}: "):
        load_settings(data=tmp_path)


def test_server_commands_never_load_torch_or_flower():
    code = (
        "import sys; from fedshow.cli import build; build(); "
        "import fedshow_server.releasing.fusing, fedshow_server.flower.app; "
        "sys.exit('torch' in sys.modules or 'diffusers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
