"""What the server says of itself while it runs: text for people or JSON lines for machines.

Every line that a call causes has the call's id. Whatever looks like a secret is left out, should
somebody ever log one.
"""

import json
import logging
import os
import re
import time
from typing import Literal

from fedshow.joining import PREFIX
from fedshow_server import calls

Format = Literal["text", "json"]
Level = Literal["debug", "info", "warning", "error"]
HIDDEN = "[hidden]"
WORD = "[A-Za-z0-9_-]"
SECRETS = re.compile(
    rf"(?<!{WORD}){WORD}{{43}}(?!{WORD})"  # join secrets and tokens, as they are made here
    rf"|(?<={PREFIX}){WORD}+"
    r"|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"  # user and password in a URL
    r"|(?<=Bearer )\S+",
    re.ASCII,
)
QUIET = ("httpx", "uvicorn", "alembic", "botocore", "aiobotocore", "s3fs", "asyncio")
"""Say a line a call; theirs are shown from WARNING on."""


def set_up_logs(form: Format, level: Level) -> None:
    """From now on our lines go to stderr, and what is wrong elsewhere."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    logging.basicConfig(level=level.upper(), handlers=[handler])
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def quiet_grpc() -> None:
    """Before anything imports gRPC: its own lines say less than our errors."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")


def without_secrets(text: str) -> str:
    """The text with everything hidden that looks like a secret."""
    return SECRETS.sub(HIDDEN, text)


class TextLines(logging.Formatter):
    """Time, level, the call's id where there is one, and what is said."""

    def format(self, record: logging.LogRecord) -> str:
        """One line; more with a traceback."""
        call = calls.current().id
        said = logging.Formatter(
            f"%(asctime)s %(levelname)s {call + ' ' if call else ''}%(message)s"
        )
        return without_secrets(said.format(record))


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The object, its values free of secrets."""
        call = calls.current()
        said = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "request": call.id,
            "who": call.who,
            "address": call.address,
            "what": call.what,
            "error": self.formatException(record.exc_info) if record.exc_info else "",
        }
        kept = {key: without_secrets(value) for key, value in said.items() if value}
        return json.dumps(kept, ensure_ascii=False)
