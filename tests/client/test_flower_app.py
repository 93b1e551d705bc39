"""Handing over: exactly the file asked for by digest, from the outbox, and nothing else ever."""

from hashlib import sha256
from pathlib import Path

import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from fedshow.wire import CONCEPT, FILE, HANDOVER, REQUEST, SAFETENSORS
from fedshow_client import flower_app

BLOB = b"an adapter" * 1000
DIGEST = sha256(BLOB).hexdigest()


@pytest.fixture
def outbox(tmp_path: Path) -> Path:
    folder = tmp_path / "outbox"
    folder.mkdir()
    (folder / f"{DIGEST}.safetensors").write_bytes(BLOB)
    return folder


@pytest.fixture(autouse=True)
def _in_a_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flower makes messages only inside a task."""
    for name in ("_run_id", "_task_id", "_node_id"):
        monkeypatch.setattr(TaskIdentity, name, 1)


def ask(outbox: Path, **request) -> Message:
    return ask_configured({"outbox": str(outbox)}, **request)


def ask_configured(config: dict[str, str], **request) -> Message:
    question = Message(RecordDict({REQUEST: ConfigRecord(request)}), 7, HANDOVER)
    question.metadata.__dict__["_message_id"] = "1"
    context = Context(1, 7, config, RecordDict(), {"outbox": "/"}, 1)
    return flower_app.app(question, context)


def test_the_file_is_handed_over_whole(outbox: Path) -> None:
    array = ask(outbox, sha256=DIGEST).content[CONCEPT][FILE]
    assert array.data == BLOB
    assert (array.dtype, array.shape, array.stype) == ("uint8", (len(BLOB),), SAFETENSORS)


def test_simulated_nodes_have_an_outbox_each(outbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask_configured({"partition-id": 7}, sha256=DIGEST).has_error(), "nobody allowed it"
    monkeypatch.setenv(flower_app.OUTBOXES, str(outbox.parent))
    assert ask_configured({"partition-id": 7}, sha256=DIGEST).has_error(), "another node's"
    outbox.rename(outbox.parent / "7")
    found = ask_configured({"partition-id": 7}, sha256=DIGEST).content[CONCEPT][FILE]
    assert found.data == BLOB


def hostile(outbox: Path) -> list[object]:
    secret = outbox.parent / "secret.safetensors"
    secret.write_bytes(b"private")
    return [
        "../secret",
        str(secret.with_suffix("")),
        f"../outbox/{DIGEST}",
        DIGEST.upper(),
        DIGEST[:-1],
        DIGEST + "\n",
        DIGEST + "\0",
        "",
        "0" * 64,
        7,
        [DIGEST],
        b"\0" * 64,
    ]


def test_nothing_else_is_read(outbox: Path) -> None:
    for wanted in hostile(outbox):
        reply = ask(outbox, sha256=wanted)
        assert reply.has_error(), wanted
        assert (reply.error.code, reply.error.reason) == (404, "not offered by this node")


def test_a_question_without_a_digest_is_refused(outbox: Path) -> None:
    assert ask(outbox, path=str(outbox)).has_error()


def test_links_out_of_the_outbox_are_not_followed(outbox: Path) -> None:
    secret = outbox.parent / "secret"
    secret.write_bytes(b"private")
    link = sha256(b"private").hexdigest()
    (outbox / f"{link}.safetensors").symlink_to(secret)
    assert ask(outbox, sha256=link).has_error()


def test_a_file_with_another_content_is_not_handed_over(outbox: Path) -> None:
    (outbox / f"{'1' * 64}.safetensors").write_bytes(b"private")
    assert ask(outbox, sha256="1" * 64).has_error()


def test_the_app_is_light(outbox: Path) -> None:
    import subprocess
    import sys

    script = (
        "import fedshow_client.flower_app, sys; "
        "assert not {'torch', 'diffusers', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
