"""An image made of a Dockerfile's own steps, each run in a root file system."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from distribution.images.dockerfile import Instruction, Stage, read
from distribution.images.rootfs import Inside, Mount, copy, debian, run

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
WHEELS = "/run/wheels"
"""Where all wheels lie while steps run: they reach no index, nor anybody else."""


@dataclass
class Image:
    """A root file system, and how to run it."""

    root: Path
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": PATH})
    arguments: dict[str, str] = field(default_factory=dict)
    user: str = "0:0"
    folder: str = "/"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)
    volumes: list[str] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    exposed: list[str] = field(default_factory=list)

    def place(self, path: str) -> Path:
        """Where a path in the image lies on this machine; relative ones are in its folder."""
        return self.root / (Path(self.folder) / path).as_posix().lstrip("/")


@dataclass
class Builder:
    """Makes images below `work`, of what lies in `context` and, for pip, in `wheels`."""

    context: Path
    wheels: Path
    work: Path
    say: Callable[[str], None]
    made: dict[str, Image] = field(default_factory=dict)

    def build(self, dockerfile: Path) -> Image:
        """The image of a Dockerfile: that of its last stage."""
        known, stages = read(dockerfile)
        self.made = {}
        name = dockerfile.name.partition(".")[0]
        for number, stage in enumerate(stages):
            image = self._stage(stage, self.work / f"{name}-{stage.name or number}", known)
            self.made[stage.name] = image
        return image

    def _stage(self, stage: Stage, root: Path, known: Mapping[str, str]) -> Image:
        image = Image(copy(debian(stage.base, self.work / "base"), root))
        steps: dict[str, Callable[[Image, Instruction], None]] = {
            "RUN": self._run,
            "COPY": self._copy,
            "WORKDIR": _workdir,
            **_SETTINGS,
        }
        for instruction in stage.instructions:
            if instruction.word == "ARG":
                name, _, value = instruction.rest.partition("=")
                image.arguments[name] = value or known.get(name, "")
            else:
                steps[instruction.word](image, instruction)
        return image

    def _run(self, image: Image, instruction: Instruction) -> None:
        line = instruction.command()
        self.say(f"RUN {line[:100]}")
        pip = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": WHEELS, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        environment = {"HOME": "/root", **image.arguments, **image.environment, **pip}
        mounts = (Mount(self.wheels, WHEELS), *map(self._mount, instruction.mounts()))
        inside = Inside(environment, image.user, image.folder, mounts)
        run(image.root, ["/bin/sh", "-c", line], inside)

    def _mount(self, wanted: Mapping[str, str]) -> Mount:
        if wanted["type"] == "cache":
            return Mount(None, wanted["target"])
        assert wanted["type"] == "bind", f"no stand-in for a mount of type {wanted['type']}"
        root = self.made[wanted["from"]].root if "from" in wanted else self.context
        return Mount(root / wanted["source"].lstrip("/"), wanted["target"])

    def _copy(self, image: Image, instruction: Instruction) -> None:
        assert not instruction.options(), f"no stand-in for COPY {instruction.rest}"
        *sources, last = instruction.arguments()
        target = image.place(last)
        for source in (self.context / name for name in sources):
            if source.is_dir():
                shutil.copytree(source, target, dirs_exist_ok=True)
            elif last.endswith("/"):
                target.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, target / source.name)
            else:
                shutil.copy(source, target)


def _workdir(image: Image, instruction: Instruction) -> None:
    image.folder = (Path(image.folder) / instruction.rest).as_posix()
    image.place(".").mkdir(parents=True, exist_ok=True)


def _env(image: Image, instruction: Instruction) -> None:
    image.environment |= instruction.pairs(image.arguments | image.environment)


def _label(image: Image, instruction: Instruction) -> None:
    image.labels |= instruction.pairs(image.arguments | image.environment)


def _user(image: Image, instruction: Instruction) -> None:
    image.user = instruction.rest


def _entrypoint(image: Image, instruction: Instruction) -> None:
    image.entrypoint = instruction.arguments()


def _cmd(image: Image, instruction: Instruction) -> None:
    image.command = instruction.arguments()


def _health(image: Image, instruction: Instruction) -> None:
    _, _, command = instruction.rest.partition("CMD ")
    image.health = Instruction("CMD", command).arguments()


def _volume(image: Image, instruction: Instruction) -> None:
    image.volumes += instruction.arguments()


def _expose(image: Image, instruction: Instruction) -> None:
    image.exposed += instruction.arguments()


_SETTINGS: dict[str, Callable[[Image, Instruction], None]] = {
    "ENV": _env,
    "LABEL": _label,
    "USER": _user,
    "ENTRYPOINT": _entrypoint,
    "CMD": _cmd,
    "HEALTHCHECK": _health,
    "VOLUME": _volume,
    "EXPOSE": _expose,
}
