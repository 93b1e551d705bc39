"""Words alone, a file each, for the embeddings folder of A1111, Forge, SD.Next or ComfyUI.

They are what LoRA files of kohya's format go with; a concept of words alone needs nothing else.
"""

from pathlib import Path

from fedshow.formats.about import About
from fedshow.formats.format import Format, Options
from fedshow.formats.source import Source
from fedshow.formats.words import write_embeddings


def write(source: Source, out: Path, about: About, _options: Options) -> None:
    """One file a word in the folder `out`."""
    write_embeddings(out, source.content, about)


EMBEDDINGS = Format("embeddings", "", False, write, drops_adapters=True)
