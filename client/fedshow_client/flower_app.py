"""Flower's ClientApp: hands over one concept file from this node's outbox, and nothing else.

Flower loads it in a fresh process for every message. What the server sends is a value to check;
where to look comes from this node's own configuration only.
"""

import os
from hashlib import sha256
from pathlib import Path

from flwr.app import Array, ArrayRecord, Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp

from fedshow.digests import DIGEST
from fedshow.wire import CONCEPT, FILE, HANDOVER, MAX_CONCEPT_BYTES, REQUEST, SAFETENSORS

OUTBOX = "outbox"
"""Key in the node's own configuration: the folder with the files that may be handed over."""

OUTBOXES = "FEDSHOW_OUTBOXES"
"""Environment: a folder with an outbox for each node, named by Flower's number for it. For nodes that have no
configuration of their own, as in Flower's simulation.
"""

NOT_HERE = 404
"""Error code of every refusal; it says nothing else, so that it can leak nothing."""

app = ClientApp()


@app.query(HANDOVER.partition(".")[2])  # type: ignore[untyped-decorator]  # flwr has no types
def hand_over(message: Message, context: Context) -> Message:
    """The concept file that the server asks for by digest, or an error without details."""
    try:
        wanted = message.content[REQUEST]["sha256"]
        blob = read_offered(outbox_of(context), wanted)
    except Exception:  # any text of ours in a reply could carry a path
        return Message(Error(NOT_HERE, "not offered by this node"), reply_to=message)
    array = Array("uint8", (len(blob),), SAFETENSORS, blob)
    return Message(RecordDict({CONCEPT: ArrayRecord({FILE: array})}), reply_to=message)


def outbox_of(context: Context) -> Path:
    """Where this node's files lie; raises KeyError where nobody said so."""
    if OUTBOX in context.node_config:
        return Path(str(context.node_config[OUTBOX]))
    return Path(os.environ[OUTBOXES]) / str(context.node_id)


def read_offered(outbox: Path, wanted: object) -> bytes:
    """The file in `outbox` with digest `wanted`; raises ValueError or OSError for anything else."""
    if not isinstance(wanted, str) or not DIGEST.fullmatch(wanted):
        raise ValueError("not a digest")
    handle = os.open(outbox / f"{wanted}.safetensors", os.O_RDONLY | os.O_NOFOLLOW)
    with os.fdopen(handle, "rb") as file:
        if os.fstat(handle).st_size > MAX_CONCEPT_BYTES:
            raise ValueError("too large")
        blob = file.read(MAX_CONCEPT_BYTES)
    if sha256(blob).hexdigest() != wanted:
        raise ValueError("another digest")
    return blob
