"""Where words lie that the file of a LoRA or a checkpoint cannot hold; costs nothing to import."""

from pathlib import Path


def words_beside(file: Path) -> Path:
    """The folder with one embedding a word."""
    return file.with_name(f"{file.stem}-embeddings")
