"""A Dockerfile, read: its stages, and the instructions of each."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

CONTINUED = re.compile(r"\\\n")
COMMENT = re.compile(r"^\s*#.*\n?", re.MULTILINE)
MOUNT = re.compile(r"--mount=(\S+)\s+")


@dataclass(frozen=True)
class Instruction:
    """One of them: its word and all that follows."""

    word: str
    rest: str

    def options(self) -> dict[str, str]:
        """Its `--key=value` pairs, but for mounts."""
        pairs = (text[2:].partition("=") for text in self.rest.split() if text.startswith("--"))
        return {key: value for key, _, value in pairs if key != "mount"}

    def arguments(self) -> list[str]:
        """Its words without options, or the list that it is."""
        if self.rest.startswith("["):
            return [str(text) for text in json.loads(self.rest)]
        return [text for text in shlex.split(self.rest) if not text.startswith("--")]

    def pairs(self, known: Mapping[str, str]) -> dict[str, str]:
        """Its `KEY=value` pairs, with the variables that are `known` filled in."""
        split = (text.partition("=") for text in shlex.split(self.rest))
        return {key: Template(value).safe_substitute(known) for key, _, value in split}

    def mounts(self) -> list[dict[str, str]]:
        """What a RUN has mounted while it runs."""
        found = MOUNT.findall(self.rest)
        return [dict(part.split("=", 1) for part in text.split(",")) for text in found]

    def command(self) -> str:
        """What a RUN gives to the shell."""
        return MOUNT.sub("", self.rest).strip()


@dataclass
class Stage:
    """From one FROM to the next."""

    base: str
    name: str
    instructions: list[Instruction] = field(default_factory=list)


def read(path: Path) -> tuple[dict[str, str], list[Stage]]:
    """The arguments before the first FROM with their values, and the stages in their order."""
    known: dict[str, str] = {}
    stages: list[Stage] = []
    for instruction in _instructions(path.read_text()):
        if instruction.word == "FROM":
            base, _, name = instruction.rest.partition(" AS ")
            stages.append(Stage(Template(base).substitute(known), name.strip()))
        elif stages:
            stages[-1].instructions.append(instruction)
        else:
            assert instruction.word == "ARG", f"{instruction.word} before FROM"
            known |= instruction.pairs({})
    return known, stages


def _instructions(text: str) -> Iterator[Instruction]:
    for line in CONTINUED.sub(" ", COMMENT.sub("", text)).splitlines():
        if line.strip():
            word, _, rest = line.strip().partition(" ")
            yield Instruction(word.upper(), rest.strip())
