"""Made-up private data, and the search for every form in which they could leave a machine."""

import base64
import bz2
import io
import lzma
import re
import socket
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

CAPTION = "Wilhelmina with her ginger pelican"
FOLDERS = ("Kornblum-Familie", "Sommerferien-Hiddensee")
USER = "wkornblum1987"
STEM = "DSC_Geburtstag_{:02d}"
WINDOW_BYTES = 24
QUALITIES = (75, 85, 95)
START_OF_SCAN = b"\xff\xda"
MAX_INFLATED_BYTES = 4 << 20


class PrivateData:
    """A user's images, captions and names, and every form in which they could leak."""

    def __init__(self, folder: Path) -> None:
        self.images = folder.joinpath("home", USER, *FOLDERS)
        self.images.mkdir(parents=True)
        random = np.random.default_rng(7)
        self.files: list[bytes] = []
        self.pixels: list[bytes] = []
        self.others: dict[str, bytes] = {}
        """More forms of them, by what they are."""
        for number in range(8):
            picture = random.integers(0, 256, (64, 64, 3), np.uint8)
            file = self.images / f"{STEM.format(number)}.png"
            Image.fromarray(picture).save(file)
            file.with_suffix(".txt").write_text(CAPTION)
            self.files.append(file.read_bytes())
            self.pixels.append(picture.tobytes())
            self.others |= _drawn_anew(number, Image.fromarray(picture))

    def texts(self) -> list[str]:
        """Words that must not appear in any case."""
        words = [word for word in re.findall(r"[A-Za-z]+", CAPTION) if len(word) > 6]
        names = [*FOLDERS, USER, STEM.format(3), CAPTION]
        host = socket.gethostname()
        if len(host) > 6 and not host.isalpha():  # a plain word may be one of the protocol's
            names.append(host)
        return words + names

    def needles(self) -> dict[bytes, str]:
        """Byte strings that must not appear, with what they are."""
        found: dict[bytes, str] = {}
        for text in self.texts():
            for form, content in _encoded(text.encode()).items():
                found[content] = f"{text!r} {form}"
        files = {f"image {number} file": file for number, file in enumerate(self.files)}
        pixels = {f"image {number} pixels": seen for number, seen in enumerate(self.pixels)}
        for kind, content in (files | pixels | self.others).items():
            for form, packed in _packed(content).items():
                for window in _windows(packed):
                    found[window] = f"{kind} {form}"
                    if form == "raw":
                        for coded, text in _encoded(window).items():
                            found[text] = f"{kind} {coded}"
        return found


def jpeg(picture: Image.Image, quality: int) -> bytes:
    """The picture in the form that previews have."""
    picture.save(file := io.BytesIO(), "JPEG", quality=quality)
    return file.getvalue()


def thumbnail(picture: Image.Image) -> Image.Image:
    """Half as large."""
    return picture.resize((picture.width // 2, picture.height // 2))


def _drawn_anew(number: int, picture: Image.Image) -> dict[str, bytes]:
    found = {}
    for size, seen in (("whole", picture), ("thumbnail", thumbnail(picture))):
        found[f"image {number} {size} pixels"] = seen.tobytes()
        for quality in QUALITIES:
            file = jpeg(seen, quality)
            scan = file[file.index(START_OF_SCAN) :]  # all JPEGs of a quality begin alike
            found[f"image {number} {size} JPEG {quality}"] = scan
    return found


def _encoded(content: bytes) -> dict[str, bytes]:
    """The content raw, as hexadecimal digits, and as base64 at each of the three alignments."""
    forms = {"raw": content, "hex": content.hex().encode(), "HEX": content.hex().upper().encode()}
    for shift in range(3):
        text = base64.b64encode(bytes(shift) + content)
        inner = text[(0, 2, 3)[shift] :].rstrip(b"=")
        inner = inner[: (len(inner) - 1)]  # the last digit depends on what follows
        forms[f"base64 at {shift}"] = inner
        forms[f"base64url at {shift}"] = inner.replace(b"+", b"-").replace(b"/", b"_")
    return forms


def _packed(content: bytes) -> dict[str, bytes]:
    """The content raw and as the usual compressors pack it."""
    return {
        "raw": content,
        **{f"deflate {level}": zlib.compress(content, level)[2:-4] for level in (1, 6, 9)},
        "bz2": bz2.compress(content),
        "xz": lzma.compress(content),
    }


def _windows(content: bytes) -> Iterator[bytes]:
    """Pieces from all over the content, past any header that everybody's data share."""
    for start in range(48, len(content) - WINDOW_BYTES, max(WINDOW_BYTES, len(content) // 16)):
        yield content[start : start + WINDOW_BYTES]


def inflated(capture: bytes) -> Iterator[bytes]:
    """Everything in the capture that unpacks as gzip or zlib."""
    for match in re.finditer(rb"\x1f\x8b\x08|\x78[\x01\x5e\x9c\xda]", capture):
        unpacker = zlib.decompressobj(wbits=47)
        with suppress(zlib.error):
            if found := unpacker.decompress(capture[match.start() :], MAX_INFLATED_BYTES):
                yield found


def leaks(private: PrivateData, capture: bytes) -> set[str]:
    """What of the private data is in the capture, and in which form."""
    needles = private.needles()
    found = set()
    for haystack in (capture, *inflated(capture)):
        found |= {name for needle, name in needles.items() if needle in haystack}
        small = haystack.lower()
        found |= {repr(text) for text in private.texts() if text.lower().encode() in small}
    return found
