"""`fedshow sample`: progress, files, and one clear line for everything that cannot be drawn."""

import io
import sys
from pathlib import Path

import pytest
from PIL import Image

from fedshow.errors import InvalidInput
from fedshow.sampling.loading import load
from fedshow.sampling.model import Model
from fedshow.sampling.regions import Region


@pytest.fixture
def model(base) -> Model:
    opened = Model(base)
    yield opened
    opened.restore()


@pytest.fixture
def file(make_concept, tmp_path: Path) -> Path:
    """A concept file."""
    make_concept("potter").save(tmp_path / "potter.safetensors")
    return tmp_path / "potter.safetensors"


class Terminal(io.StringIO):
    """A standard error that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """From now on standard error is a terminal: this one."""
    monkeypatch.setenv("TERM", "xterm")
    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    return shown


def test_every_step_is_told(model: Model) -> None:
    seen: list[tuple[int, int]] = []
    model("a cat", steps=3, n=2, on_step=lambda *now: seen.append(now))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_a_terminal_shows_a_bar(call, file: Path, tmp_path: Path, monkeypatch) -> None:
    terminal = on_terminal(monkeypatch)
    out = tmp_path / "new" / "out.png"
    code, printed, _ = call("sample", file, "a <potter>", "--steps", 2, "--n", 2, "-o", out)
    assert (code, printed) == (0, f"{out}\n{out.with_name('out-2.png')}\n")
    assert "drawing" in terminal.getvalue()
    assert "2/2" in terminal.getvalue()
    for drawn in (out, out.with_name("out-2.png")):
        with Image.open(drawn) as picture:
            assert picture.size == (32, 32)


def test_fusing_shows_a_bar_and_its_stages(call, file, tmp_path: Path, monkeypatch) -> None:
    terminal = on_terminal(monkeypatch)
    assert call("fuse", file, "--method", "average", "-o", tmp_path / "fused")[0] == 0
    assert "fusing" in terminal.getvalue()
    assert "solved" in terminal.getvalue()


def test_a_pipe_shows_nothing(call, file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    assert call("sample", file, "a <potter>", "--steps", 1, "-o", out) == (0, f"{out}\n", "")


@pytest.mark.parametrize(
    ("prompt", "options", "says"),
    [
        ("a <nobody>", (), "<nobody> in the prompt is not a concept of this model"),
        ("a <poter>", (), "did you mean <potter>?"),
        ("a cat", ("--region", "0,0,1,1: <nobody>"), "<nobody> in the prompt"),
        ("a cat", ("--region", "0,0,2,1: a dog"), "region box 0,0,2,1: use left,top,right,bottom"),
        ("a cat", ("--region", "0,0,nan,1: a dog"), "region box 0,0,nan,1"),
        ("a cat", ("--region", "0,.5,1,.2: a dog"), "0 <= top < bottom <= 1"),
        ("a cat", ("--region", "0,0,1,1:"), "write 'x0,y0,x1,y1: prompt'"),
        ("a cat", ("--region", "0,0,1: a dog"), "write 'x0,y0,x1,y1: prompt'"),
        ("a cat", ("--width", "33"), "33x32 pixels: edges must be multiples of 8, such as 32x32"),
        ("a cat", ("--height", "-4"), "edges must be multiples of 8, such as 32x8"),
        ("a cat", ("--guidance", "nan"), "guidance nan: must be a number of at least 0"),
        ("a cat", ("--scale", "nan"), "scale nan: must be a number of 0 to 4"),
        ("a cat", ("--device", "tpu"), "device 'tpu': use auto, cpu or cuda"),
        ("a cat", ("--steps", "0"), "steps 0: must be a number of 1 to 1000"),
        ("a cat", ("--overlap", "mix"), "overlap 'mix': use average or priority"),
        ("a cat", ("--region-mask", "nowhere.png: x"), "nowhere.png cannot be read"),
        ("a cat", ("--region-mask", "x"), "write 'mask.png: prompt'"),
        ("a cat", ("--control", "sketch"), "write 'TYPE=PNG'"),
        ("a cat", ("--adapter", "sketch=nowhere.png"), "nowhere.png cannot be read"),
        ("a cat", ("--image", "nowhere.png"), "nowhere.png cannot be read"),
        ("a cat", ("--again", "nowhere.png"), "nowhere.png cannot be read as a PNG file"),
        ("word " * 40, (), "tokens, limit 32"),
        ("a cat", ("--region", "0,0,1,1: " + "word " * 40), "tokens, limit 32"),
        ("a cat", ("--scorer", "nowhere"), "scorer nowhere: config.json cannot be read"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(call, file, tmp_path, prompt, options, says) -> None:
    code, _, err = call("sample", file, prompt, *options, "-o", tmp_path / "out.png")
    assert (code, says in err, err.count("\n")) == (2, True, 1), err
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize("model", ["nowhere", "potter.safetensor", "."])
def test_what_is_no_model_is_named(call, tmp_path, monkeypatch, model: str) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = call("sample", model, "a cat", "-o", "out.png")
    assert code == 2
    assert f"no release folder and no concept file: base {model!r}" in err


def test_nothing_is_computed_for_what_cannot_be_drawn(model: Model, monkeypatch) -> None:
    """Not even the prompts that are right."""
    monkeypatch.setattr(
        model.base.pipeline.text_encoder, "forward", lambda *_, **__: pytest.fail("ran")
    )
    for prompt, negative in (
        ("a <nobody>", None),
        ("a cat", "a <nobody>"),
        ("a cat", "word " * 40),
    ):
        region = Region(box=(0, 0, 1, 1), prompt="a dog", negative=negative)
        with pytest.raises(InvalidInput):
            model(prompt, regions=[region])
    mask = Image.new("L", (8, 8), 255)
    with pytest.raises(InvalidInput, match="mask of 8x8 pixels"):
        model("a cat", regions=[Region(mask=mask, prompt="a dog")])


def test_prompts_are_encoded_once_for_a_picture(model: Model, monkeypatch) -> None:
    read: list[int] = []
    encode = model.tokens.encoded
    monkeypatch.setattr(model.tokens, "encoded", lambda texts: read.append(1) or encode(texts))
    model("a cat", steps=4, regions=[Region(box=(0, 0, 0.5, 1), prompt="a dog")])
    assert len(read) == 4, "prompt and region, and what each must not show"


def test_from_python_numbers_are_checked_as_well(model: Model) -> None:
    with pytest.raises(InvalidInput, match="steps 0: must be a number of 1 to 1000"):
        model("a cat", steps=0)
    with pytest.raises(InvalidInput, match="n 0"):
        model("a cat", n=0)
    with pytest.raises(InvalidInput, match="only a concept file takes a base"):
        load("toyworld", base="toyworld")
