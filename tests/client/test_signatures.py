"""A client takes only what its server signed, and no old news for new."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fedshow.errors import RefusedRelease
from fedshow.releases import verify_release
from fedshow.releases.signing import signer_of
from fedshow.transfer.connection import Connection
from fedshow.transfer.folder import pull_release
from fedshow.transfer.releases import get_release, watch_releases
from fedshow.transfer.servers import save_server
from fedshow_server.releasing.signing import Signer
from tests.stage.waiting import PATIENCE_SECONDS


def new_signer(now=lambda: datetime.now(UTC)) -> Signer:
    return Signer(Ed25519PrivateKey.generate(), now)


@pytest.fixture
def signer(host) -> Signer:
    host.signer = new_signer()
    return host.signer


@pytest.fixture
def connection(known, signer, home):
    """To a server whose key is known."""
    trusting = known.model_copy(update={"signing_key": signer.public_key})
    save_server(trusting, home)
    with Connection(trusting) as opened:
        yield opened


@pytest.fixture
def files() -> dict[str, bytes]:
    return {"fused.safetensors": b"weights" * 1000}


def pull(connection: Connection, out: Path, release: str = "latest"):
    return pull_release(connection, release, out, patience_seconds=PATIENCE_SECONDS)


def test_a_signed_release_is_taken_and_says_whose_it_is(
    host, connection, signer, files, tmp_path, call
) -> None:
    manifest = host.publish(files)
    out = tmp_path / "model"
    assert pull(connection, out) == manifest
    assert signer_of(out) == signer.public_key
    for options in ((), ("--server", "home"), ("--key", signer.public_key)):
        code, said, _ = call("verify", out, *options)
        assert (code, "signed by home" in said) == (0, True)
    sent = host.sent_bytes
    pull(connection, out)
    assert host.sent_bytes == sent


def test_a_folder_without_its_signature_gets_it(host, connection, signer, files, tmp_path) -> None:
    host.publish(files)
    out = tmp_path / "model"
    pull(connection, out)
    (out / "manifest.sig").unlink()
    host.sent_bytes = 0
    pull(connection, out)
    assert signer_of(out) == signer.public_key
    assert host.sent_bytes < len(files["fused.safetensors"])


@pytest.mark.parametrize("fault", ["none", "another key", "another manifest", "garbage"])
@pytest.mark.parametrize("release", ["latest", "id"])
def test_a_release_that_its_server_did_not_sign_is_refused(
    host, connection, signer, files, tmp_path, fault, release
) -> None:
    """Before any of its files is asked for."""
    stranger = new_signer()
    forge = {
        "none": None,
        "another key": stranger.sign_manifest,
        "another manifest": lambda content: signer.sign_manifest(content + b" "),
        "garbage": lambda _: b"{",
    }[fault]
    host.signer = forge and SimpleNamespace(sign_manifest=forge)
    host.say = signer.say_latest
    manifest = host.publish(files)
    with pytest.raises(RefusedRelease, match="signature"):
        pull(connection, tmp_path / "model", "latest" if release == "latest" else manifest.release)
    assert host.sent_bytes < len(files["fused.safetensors"])
    assert not (tmp_path / "model").exists()


def said(signer: Signer, age: timedelta):
    """What the signer said of any release that long ago."""
    return Signer(signer._key, lambda: datetime.now(UTC) - age).say_latest


@pytest.mark.parametrize(
    ("say", "words"),
    [
        (lambda _: lambda _: (b"", b""), "does not sign which"),
        (lambda _: new_signer().say_latest, "by key"),
        (lambda signer: lambda release: (b"{}", signer.say_latest(release)[1]), "not that of what"),
        (lambda signer: lambda _: signer.say_latest(None), "another release"),
        (lambda signer: said(signer, timedelta(days=2)), "old news, or a clock"),
        (lambda signer: said(signer, timedelta(days=-2)), "old news, or a clock"),
    ],
    ids=["nothing", "stranger", "tampered", "another", "frozen", "future"],
)
def test_the_latest_is_what_the_server_says_now(
    host, connection, signer, files, say, words
) -> None:
    manifest = host.publish(files)
    host.say = say(signer)
    with pytest.raises(RefusedRelease, match=words):
        get_release(connection, "latest")
    with pytest.raises(RefusedRelease, match=words):
        next(watch_releases(connection, Event()))
    assert get_release(connection, manifest.release).id == manifest.release


def test_who_heard_of_a_release_is_not_led_back(host, connection, signer, files) -> None:
    first = host.publish(files)
    old = said(signer, timedelta(hours=2))(host.releases[0])
    host.publish(files, names=("potter", "hermione"))
    assert get_release(connection).id != first.release
    host.releases.reverse()
    host.say = lambda _: old
    with pytest.raises(RefusedRelease, match="shown again"):
        get_release(connection)


def test_going_back_to_an_earlier_release_is_the_servers_right(
    host, connection, signer, files
) -> None:
    """As when the newest has a concept that was withdrawn."""
    first = host.publish(files)
    host.publish(files, names=("potter", "hermione"))
    assert get_release(connection).id != first.release
    host.releases.reverse()
    assert get_release(connection).id == first.release


def test_an_answer_that_was_overtaken_is_no_old_news(host, connection, signer, files) -> None:
    host.publish(files)
    slow = said(signer, timedelta(seconds=5))(host.releases[0])
    get_release(connection)
    host.say = lambda _: slow
    assert get_release(connection)


def test_a_server_that_was_joined_before_it_had_a_key(host, known, files, tmp_path) -> None:
    host.publish(files)
    with Connection(known) as connection:
        pull(connection, tmp_path / "model")
    assert verify_release(tmp_path / "model")


@pytest.mark.parametrize(
    ("path", "change", "link"),
    [
        ("manifest.sig", lambda _: b"{", "signature: manifest.sig"),
        ("manifest.sig", lambda old: old.replace(b'"key":"', b'"key":"0')[:-1], "signature"),
        ("manifest.json", lambda old: old + b" ", "signature: not that of this manifest"),
        ("fused.safetensors", lambda old: b"x" + old[1:], "fused.safetensors: sha256"),
    ],
)
def test_verify_names_the_link_that_broke(
    host, connection, files, tmp_path, call, path, change, link
) -> None:
    host.publish(files)
    pull(connection, tmp_path / "model")
    file = tmp_path / "model" / path
    file.write_bytes(change(file.read_bytes()))
    code, _, err = call("verify", tmp_path / "model")
    assert (code, err.startswith(f"fedshow: {link}")) == (1, True), err


def test_verify_misses_what_was_signed(host, connection, files, tmp_path, call) -> None:
    host.publish(files)
    pull(connection, tmp_path / "model")
    (tmp_path / "model" / "manifest.json").unlink()
    assert call("verify", tmp_path / "model") == (1, "", "fedshow: manifest.json is missing\n")


def test_verify_asks_for_whom_and_what_it_is_told(host, connection, files, tmp_path, call) -> None:
    manifest = host.publish(files)
    pull(connection, tmp_path / "model")
    concept = tmp_path / "potter.safetensors"
    concept.write_bytes(b"potter")
    assert call("verify", tmp_path / "model", "--concept", concept)[0] == 0
    concept.write_bytes(b"another")
    code, _, err = call("verify", tmp_path / "model", "--concept", concept)
    assert (code, "is not in the release" in err) == (1, True)
    code, _, err = call("verify", tmp_path / "model", "--key", "0" * 64)
    assert (code, "must be by key 0000" in err) == (1, True)
    (tmp_path / "model" / "manifest.sig").unlink()
    code, out, _ = call("verify", tmp_path / "model")
    assert (code, "not signed" in out) == (0, True)
    code, _, err = call("verify", tmp_path / "model", "--server", "home")
    assert (code, "signature: there is none" in err) == (1, True)
    assert verify_release(tmp_path / "model") == manifest
