"""The server's signing key, and that every release bears its signature."""

import stat
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fedshow.errors import InvalidInput, RefusedRelease
from fedshow.releases import FileEntry
from fedshow.releases.signing import LATEST, Latest, Signature, check_manifest
from fedshow_server.releasing.publishing import sign_earlier
from fedshow_server.releasing.signing import AHEAD, SAID, Signer, open_signer
from tests.releases import standin_manifest


def test_the_key_is_made_once_and_private(tmp_path):
    first = open_signer(tmp_path)
    assert open_signer(tmp_path).public_key == first.public_key
    (file,) = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [b"", b"no key", None], ids=["empty", "text", "another kind"])
def test_a_key_that_cannot_be_read_is_not_replaced(tmp_path, content):
    """Clients trust the old one: a new one would only look like an attack."""
    if content is None:
        from fedshow_server.upkeep.certificates import prepare_certificates

        another = tmp_path / "another"
        another.mkdir()
        content = prepare_certificates(another, "x").key.read_bytes()
    file = tmp_path / "signing.key"
    file.write_bytes(content)
    with pytest.raises(InvalidInput, match=r"signing\.key.*backup"):
        open_signer(tmp_path)
    assert file.read_bytes() == content


def test_a_signature_is_good_for_one_thing_only(tmp_path):
    signer, other = open_signer(tmp_path), Signer(Ed25519PrivateKey.generate())
    signed = signer.sign_manifest(b"{}")
    check_manifest(b"{}", signed, signer.public_key)
    found = Signature.parse(signed)
    forged = found.model_copy(update={"key": other.public_key}).model_dump_json().encode()
    for content, signature, key in (
        (b"{ }", signed, signer.public_key),
        (b"{}", signed, other.public_key),
        (b"{}", forged, other.public_key),
        (b"{}", other.sign_manifest(b"{}"), signer.public_key),
        (b"{}", b"{}", signer.public_key),
        (b"{}", None, signer.public_key),
    ):
        with pytest.raises(RefusedRelease, match="signature"):
            check_manifest(content, signature, key)
    with pytest.raises(RefusedRelease):
        found.check(LATEST, b"{}", "what was said")


def test_what_is_said_never_grows_older():
    """Also when the clock is set back."""
    times = [datetime(2026, 1, 1, tzinfo=UTC) - timedelta(days=day) for day in range(3)]
    signer = Signer(Ed25519PrivateKey.generate(), lambda: times.pop(0))
    said = [Latest.model_validate_json(signer.say_latest(None)[0]).said for _ in range(3)]
    assert said == sorted(set(said))


def test_what_is_said_never_grows_older_by_a_restart(tmp_path):
    """The clock was ahead, is set right, and the server started again: who heard it hears it still."""
    now = datetime.now(UTC)
    key = open_signer(tmp_path)._key

    def says(ahead: timedelta) -> datetime:
        signer = Signer(key, lambda: now + ahead, tmp_path / SAID)
        moments = [Latest.model_validate_json(signer.say_latest(None)[0]).said for _ in range(3)]
        assert moments == sorted(moments)
        return moments[-1]

    hour = timedelta(hours=1)
    heard = says(2 * hour)
    assert heard < says(timedelta(0)) < heard + hour
    says(30 * hour)
    assert says(timedelta(0)) == pytest.approx(now, abs=hour), "nobody believed it"
    (tmp_path / SAID).write_bytes(b"\xff")
    assert says(timedelta(0)) < now + hour


def test_a_restart_begins_after_what_was_said(tmp_path):
    first = Latest.model_validate_json(open_signer(tmp_path).say_latest(None)[0]).said
    again = Latest.model_validate_json(open_signer(tmp_path).say_latest(None)[0]).said
    assert again > first + AHEAD


def test_releases_that_this_key_did_not_sign_are_signed(store, tools, tmp_path):
    """From before there were signatures, and from before the key had to be replaced."""
    manifest = standin_manifest({}, {"potter": "1" * 64}, tools.card.ref)
    listing = manifest.dump()
    entry = FileEntry(sha256=store.blobs.put(listing), size_bytes=len(listing))
    lost = standin_manifest({}, {"dobby": "1" * 64}, tools.card.ref)
    store.releases.publish(manifest, entry)
    store.releases.publish(lost, FileEntry(sha256="0" * 64, size_bytes=1))
    for signer in (open_signer(tmp_path / "first"), open_signer(tmp_path / "second")):
        for _ in range(2):
            sign_earlier(store, signer)
        found = store.releases.file(manifest.release, "manifest.sig")
        with store.blobs.open(found.sha256) as file:
            content = file.read()
        assert (sha256(content).hexdigest(), len(content)) == (found.sha256, found.size_bytes)
        check_manifest(listing, content, signer.public_key)
        assert "manifest.sig" not in store.releases.files(lost.release)


def test_the_owner_and_every_member_know_the_key(server, member, call):
    code, out, _ = call("server", "key", "--data", server.data)
    assert (code, out.strip()) == (0, member.reply.signing_key)


def test_asking_for_a_key_makes_none(tmp_path, call):
    code, _, err = call("server", "key", "--data", tmp_path)
    assert (code, "no server has run" in err) == (2, True)
    assert not list(tmp_path.rglob("signing.key"))
