"""What stands ready for the pages: concepts, releases of them, pictures, a base, a server that has them."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

from fedshow.demo.folders import prepare
from fedshow.families import Base
from fedshow.families.locating import locate
from fedshow.formats import export_model
from fedshow.roles import Role
from fedshow_server.folder import DataFolder
from fedshow_server.fusion import fuse_to_folder
from fedshow_server.releasing.publishing import publish
from fedshow_server.releasing.signing import open_signer
from tests.docs.blocks import ROOT
from tests.docs.machines import Machine
from tests.stage.concepts import make_data, random_concept
from tests.stage.scorers import tiny_clip, tiny_dino
from tests.stage.server import Server

NAME = "art.example.org"
"""What the pages call the server."""
RELEASES = {
    "model": {"mimi": "kitten", "rex": "robot"},
    "fused": {"gloop": "monster", "bolt": "robot"},
}
"""Release folders of the pages, with their concepts and the class of each."""
PICTURES = {"alice": ("cat-pictures", "gloop-pictures"), "bob": ("dog-pictures", "bolt-pictures")}
"""Folders of pictures, by who drew them."""
BASE = "stable-diffusion-v1-5"
"""A folder that the pages call so; it holds toyworld here, which is of the same family."""


@dataclass
class Stage:
    """The things, in a folder, and the server."""

    folder: Path
    server: Server
    programs: Path
    """With torch imported already."""

    def machine(self, home: Path) -> Machine:
        """A machine that has it all: in its home, and as one that has joined the server."""
        shutil.copytree(self.folder, home, copy_function=os.link, symlinks=True)
        machine = Machine(home, programs=self.programs)
        code = self.server.invite(f"reader-{token_hex(4)}", Role.OWNER).encode()
        ended = machine.type(f"fedshow client join {code} --as {NAME}")
        assert ended.code == 0, ended.printed
        return machine


def make_stage(folder: Path, base: Base, data: Path, programs: Path) -> Stage:
    """Everything in `folder`; the server's data lies elsewhere."""
    for release, concepts in RELEASES.items():
        _fuse(folder, base, release, concepts)
    people = prepare(folder / "drawn")
    for person in people:
        for name in PICTURES[person.node]:
            shutil.copytree(person.images, folder / name)
    shutil.rmtree(folder / "drawn")
    (folder / BASE).symlink_to(locate("toyworld"))
    (folder / "integrations").symlink_to(ROOT / "integrations")
    (folder / "ComfyUI" / "custom_nodes").mkdir(parents=True)
    _come_from_elsewhere(folder)
    return Stage(folder, _serve(folder / "model", base, data), programs)


def _fuse(folder: Path, base: Base, release: str, concepts: dict[str, str]) -> None:
    files = []
    for seed, (name, kind) in enumerate(concepts.items()):
        files.append(folder / f"{name}.safetensors")
        random_concept(files[-1], base.card, name, seed, rank=4, size=0.02, class_word=kind)
    fuse_to_folder("toyworld", files, folder / release, method="average")


def _come_from_elsewhere(folder: Path) -> None:
    """Files of other programs: a LoRA of kohya's with its word, one of the paper's, models that measure."""
    mimi, lora = str(folder / "mimi.safetensors"), folder / "cat_v3.safetensors"
    export_model(mimi, "kohya", lora)
    shutil.move(
        folder / "cat_v3-embeddings" / "mimi2.safetensors", folder / "cat_v3_emb.safetensors"
    )
    for name in ("edlora", "edlora_model-latest"):
        export_model(mimi, "edlora", folder / f"{name}.pth")
    tiny_clip(folder / "clip-vit-large-patch14")
    tiny_dino(folder / "dinov2-base")


def _serve(release: Path, base: Base, data: Path) -> Server:
    server = Server(make_data(data, base.card, "toyworld"), options=("--base", "toyworld"))
    server.start()
    store = DataFolder(data).open_store()
    publish(store, release, open_signer(data / "ca"))
    store.close()
    return server
