"""What stands ready for the pages: concepts, a release of them, pictures, a base, a server that has it."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

from fedshow.demo.folders import prepare
from fedshow.families import Base
from fedshow.families.locating import locate
from fedshow.roles import Role
from fedshow_server.folder import DataFolder
from fedshow_server.fusion import fuse_to_folder
from fedshow_server.releasing.publishing import publish
from fedshow_server.releasing.signing import open_signer
from tests.docs.machines import Machine
from tests.stage.concepts import make_data, random_concept
from tests.stage.server import Server

NAME = "art.example.org"
"""What the pages call the server."""
CONCEPTS = {"mimi": "kitten", "rex": "robot"}
BASE = "stable-diffusion-v1-5"
"""A folder that the pages call so; it holds toyworld here, which is of the same family."""


@dataclass
class Stage:
    """The things, and the server."""

    folder: Path
    server: Server

    def machine(self, home: Path) -> Machine:
        """A machine that has it all: in its home, and as one that has joined the server."""
        shutil.copytree(self.folder, home, copy_function=os.link, symlinks=True)
        machine = Machine(home)
        code = self.server.invite(f"reader-{token_hex(4)}", Role.OWNER).encode()
        ended = machine.type(f"fedshow client join {code} --as {NAME}")
        assert ended.code == 0, ended.printed
        return machine


def make_stage(folder: Path, base: Base, data: Path) -> Stage:
    """Everything in `folder`; the server's data lies elsewhere."""
    for seed, (name, kind) in enumerate(CONCEPTS.items()):
        file = folder / f"{name}.safetensors"
        random_concept(file, base.card, name, seed, rank=4, size=0.02, class_word=kind)
    files = [folder / f"{name}.safetensors" for name in CONCEPTS]
    fuse_to_folder("toyworld", files, folder / "fused", method="average")
    (alice, bob) = prepare(folder / "drawn")
    alice.images.rename(folder / "cat-pictures")
    bob.images.rename(folder / "dog-pictures")
    shutil.rmtree(folder / "drawn")
    (folder / BASE).symlink_to(locate("toyworld"))
    server = Server(make_data(data, base.card, "toyworld"), options=("--base", "toyworld"))
    server.start()
    store = DataFolder(data).open_store()
    publish(store, folder / "fused", open_signer(data / "ca"))
    store.close()
    return Stage(folder, server)
