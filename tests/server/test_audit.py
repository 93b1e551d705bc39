"""The audit log: written with every change, and no entry can be changed, lost or added unnoticed."""

import json
import subprocess
import sys
from datetime import timedelta
from hashlib import sha256

import pytest
from sqlalchemy import delete, insert, select, text, update
from sqlalchemy.exc import DBAPIError

from fedshow.errors import Damaged, InvalidInput
from fedshow_server import calls
from fedshow_server.store import Head, Offer
from fedshow_server.store.audit import note
from fedshow_server.store.tables import audit

DAY = timedelta(days=1)


def offer(name, file):
    return Offer(name, "man", sha256(file.encode()).hexdigest(), 10)


@pytest.fixture
def log(store):
    """A store in which much has happened."""
    with calls.by_owner():
        secret = store.members.invite("anna", DAY)
    anna, _ = store.members.join(secret, "key", 5)
    calls_of_anna = calls.Call("c0ffee", "node anna", "192.0.2.7", "SubmitConcept")
    reset = calls._current.set(calls_of_anna)
    potter = store.concepts.submit(anna.id, offer("potter", "1"), 100)
    store.concepts.submit(anna.id, offer("potter", "1"), 100)  # changes nothing
    calls._current.reset(reset)
    store.concepts.admit(potter.sha256)
    store.concepts.admit(potter.sha256)  # changes nothing
    dobby = store.concepts.submit(anna.id, offer("dobby", "2"), 100)
    store.concepts.refuse(dobby.sha256, "too large")
    store.concepts.withdraw("potter", anna.id)
    with calls.by_owner():
        store.members.revoke("anna")
    return store


def test_every_change_is_written_down_once(log):
    entries = log.audit.last(100)
    assert [entry.position for entry in entries] == list(range(1, 9))
    assert [(entry.action, entry.subject) for entry in entries] == [
        ("node.invited", "anna"),
        ("node.joined", "anna"),
        ("concept.offered", "potter"),
        ("concept.admitted", "potter"),
        ("concept.offered", "dobby"),
        ("concept.refused", "dobby"),
        ("concept.withdrawn", "potter"),
        ("node.revoked", "anna"),
    ]
    assert entries[0].who.startswith("owner ")
    offered = entries[2]
    assert (offered.who, offered.address, offered.call) == ("node anna", "192.0.2.7", "c0ffee")
    assert entries[5].details["reason"] == "too large"
    assert entries[3].who == calls.SERVER
    assert log.audit.last(2) == entries[-2:]


def test_good_log_has_a_head_that_grows(log):
    early = log.audit.verify()
    assert early == log.audit.head() == Head.parse(str(early))
    assert early.position == 8
    log.members.invite("bob", DAY)
    assert log.audit.verify(early).position == 9


def test_change_and_entry_happen_together(store):
    def fails():
        with store.database.writing() as connection:
            note(connection, "node.invited", "anna")
            raise InvalidInput("no")

    with pytest.raises(InvalidInput):
        fails()
    assert store.audit.head().position == 0


def test_log_can_only_be_added_to(log):
    for change in (update(audit).values(who="nobody"), delete(audit)):
        with pytest.raises(DBAPIError, match="only be added to"), log.database.writing() as found:
            found.execute(change)
    assert log.audit.verify().position == 8


def tamper(store, *changes):
    """Changes rows as somebody would who owns the database."""
    with store.database.writing() as connection:
        if connection.dialect.name == "sqlite":
            connection.execute(text("DROP TRIGGER audit_no_update"))
            connection.execute(text("DROP TRIGGER audit_no_delete"))
        else:
            connection.execute(text("DROP TRIGGER audit_no_change ON audit"))
        for change in changes:
            connection.execute(change)


@pytest.mark.parametrize("column", ["at", "who", "address", "call", "action", "subject", "details"])
def test_changed_entry_is_named(log, column):
    row = log.audit.last(100)[3]
    value = row.at + timedelta(microseconds=1) if column == "at" else '{"more": 1}'
    value = "x" if column == "call" else value
    tamper(log, update(audit).where(audit.c.position == 4).values({column: value}))
    with pytest.raises(Damaged, match=r"entry 4 .* was changed"):
        log.audit.verify()


def test_lost_entry_is_named(log):
    tamper(log, delete(audit).where(audit.c.position == 3))
    with pytest.raises(Damaged, match="entry 3 is missing"):
        log.audit.verify()


def test_entry_in_between_is_noticed(log):
    """Moving the rest up and sealing a new one: those behind it do not fit any more."""
    with log.database.reading() as connection:
        third = connection.execute(select(audit).where(audit.c.position == 3)).one()._asdict()
    behind = update(audit).values(position=audit.c.position + 100).where(audit.c.position > 3)
    back = update(audit).values(position=audit.c.position - 99).where(audit.c.position > 3)
    tamper(log, behind, back, insert(audit).values(third | {"position": 4}))
    with pytest.raises(Damaged, match="entry 4"):
        log.audit.verify()


def test_end_that_was_cut_off_is_noticed_by_a_head(log):
    head = log.audit.head()
    tamper(log, delete(audit).where(audit.c.position > 6))
    assert log.audit.verify().position == 6
    with pytest.raises(Damaged, match="ends with entry 6, but there were 8"):
        log.audit.verify(head)
    log.members.invite("carl", DAY)
    log.members.invite("dora", DAY)
    with pytest.raises(Damaged, match="entry 8 is not what it was"):
        log.audit.verify(head)


def test_heads_are_read_carefully():
    for bad in ("", "8", "8:abc", "-1:" + "0" * 64, "8:" + "g" * 64):
        with pytest.raises(InvalidInput, match="head"):
            Head.parse(bad)


def fedshow(*words):
    program = (sys.executable, "-m", "fedshow.cli", "server", *words)
    return subprocess.run(program, capture_output=True, text=True, timeout=240)


def test_owner_reads_and_checks_the_log(server, joined):
    place = ("--data", str(server.data))
    invited = fedshow("invite", "frida", *place)
    assert invited.returncode == 0, invited.stderr
    joined(server, "gunda")
    listed = json.loads(fedshow("audit", "--json", *place).stdout)
    by_action = {entry["action"]: entry for entry in listed}
    assert by_action["node.invited"]["who"]
    assert by_action["node.joined"]["subject"] == "gunda"
    assert by_action["node.joined"]["address"] == "127.0.0.1"
    (frida,) = (entry for entry in listed if entry["subject"] == "frida")
    assert frida["who"].startswith("owner ")
    assert "frida" in fedshow("audit", *place).stdout
    good = json.loads(fedshow("audit", "verify", "--json", *place).stdout)
    assert good["entries"] >= len(listed)
    before = fedshow("audit", "--json", *place, "verify")  # where the usage line has them
    assert json.loads(before.stdout or "{}") == good, before.stderr
    unheard = fedshow("audit", "--last", "3", *place, "verify")
    assert (unheard.returncode, unheard.stdout) == (2, "")
    assert "--last 3 does not go with verify" in unheard.stderr
    assert fedshow("audit", "verify", "--head", good["head"], *place).returncode == 0
    wrong = fedshow("audit", "verify", "--head", "999999:" + "0" * 64, *place)
    assert wrong.returncode == 1
    assert "there were 999999" in wrong.stderr
