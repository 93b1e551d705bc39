"""Something to look at: concepts in every state, put straight into a server's store."""

from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from sqlalchemy import insert, select

from fedshow.roles import Role
from fedshow_server.store import State
from fedshow_server.store.tables import concepts, nodes
from fedshow_server.web.pages.places import SIGN_IN
from fedshow_server.web.sessions import COOKIE
from tests.stage.member import Member
from tests.stage.server import Server

MEMBERS = {Role.OWNER: "olga", Role.CONTRIBUTOR: "carl", Role.DOWNLOADER: "dora"}
ODD = "it changes what others draw without being named: 41 % in the mean over layers, limit 25 %"
SPECIAL = {
    "imperius": (State.PENDING, ODD),
    "voldemort": (State.REFUSED, "drawing with it gives NaN or infinity"),
    "dobby": (State.WITHDRAWN, ""),
    "hedwig": (State.WANTED, ""),
}
"""Concepts that are not simply admitted: state and reason."""
CLASSES = ("man", "cat", "dog", "monster", "vase", "castle")


def stock(server: Server, owner: str, number: int = 130) -> None:
    """So many admitted concepts, `thing-001x` and on, and the SPECIAL ones, all of this node."""
    plain = [
        _row(f"thing-{k:03}x", CLASSES[k % len(CLASSES)], State.ADMITTED)
        for k in range(1, number + 1)
    ]
    special = [_row(name, "wizard", state, reason) for name, (state, reason) in SPECIAL.items()]
    store = server.store()
    with store.database.writing() as connection:
        node = connection.scalar(select(nodes.c.id).where(nodes.c.name == owner))
        rows = [{**row, "node_id": node} for row in (*plain, *special)]
        connection.execute(insert(concepts), rows)
    store.close()


def _row(name: str, class_word: str, state: State, reason: str = "") -> dict[str, Any]:
    return {
        "name": name,
        "class_word": class_word,
        "sha256": sha256(name.encode()).hexdigest(),
        "size_bytes": 1_234_567,
        "state": state,
        "reason": reason,
        "created": datetime.now(UTC),
    }


def session_for(server: Server, member: Member) -> str:
    """The session of a browser in which the member has signed in."""
    with server.http() as client:
        headers = {"origin": f"https://{server.address}"}
        answer = client.post(SIGN_IN, data={"token": member.reply.token}, headers=headers)
        assert answer.status_code == 303, answer.text
        return str(answer.cookies[COOKIE])
