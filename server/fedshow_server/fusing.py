"""The fusion worker, a process of its own: fuses what is admitted now and publishes it.

python -m fedshow_server.fusing --data DIR
"""

import argparse
import logging
import tempfile
from pathlib import Path

from fedshow_server.children import die_with_parent
from fedshow_server.folder import DataFolder
from fedshow_server.publishing import publish
from fedshow_server.store import Store, copy_out

log = logging.getLogger(__name__)


def main() -> None:
    """Exit status 0: the admitted concepts are the latest release."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    folder = DataFolder(parser.parse_args().data)
    die_with_parent()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    store = folder.open_store()
    try:
        with tempfile.TemporaryDirectory(dir=folder.work, prefix="fusing-") as work:
            fuse_admitted(store, folder.facts().base, Path(work))
    finally:
        store.close()


def fuse_admitted(store: Store, base: str, work: Path) -> None:
    """Fuses the admitted concepts inside `work` and publishes the release."""
    from fedshow.device import choose_device
    from fedshow_server.fusion import fuse_to_folder  # torch: seconds to load

    concepts = sorted(store.concepts.admitted(), key=lambda concept: concept.name)
    if not concepts:
        log.info("nothing is admitted")
        return
    files = []
    for concept in concepts:
        files.append(work / f"{concept.name}.safetensors")
        copy_out(store.blobs, concept.sha256, files[-1])
    log.info("fusing %s", ", ".join(concept.name for concept in concepts))
    fuse_to_folder(base, files, work / "release", device=choose_device(), say=log.info)
    manifest, is_new = publish(store, work / "release")
    names = ", ".join(member.name for member in manifest.concepts)
    log.info("release %s (%s)%s", manifest.release, names, "" if is_new else " was there already")


if __name__ == "__main__":
    main()
