"""`fedshow evaluate` on two concepts of toyworld: right ones score above wrong ones, also when fused."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fedshow.sampling.model import Model
from fedshow.sampling.recipe import Recipe

FEW = ("--per-prompt", 3, "--drift", 0, "--steps", 10)


@pytest.fixture
def measured(call, studio: Path):
    """Runs the command on the studio's files with few prompts; gives what it says as JSON."""

    def run(*arguments: object, references: str = "figaro bolt") -> dict[str, Any]:
        known = [
            part
            for n in references.split()
            for part in ("--reference", f"{n}={studio}/{n}-pictures")
        ]
        given = [studio / one if (studio / str(one)).exists() else one for one in arguments]
        prompts = ("--prompts", studio / "prompts.txt")
        code, out, err = call("evaluate", *given, *known, *prompts, "--json")
        assert code == 0, err
        return json.loads(out)

    return run


def value(report: dict[str, Any], model: str, concept: str, what: str, scorer="toyworld") -> float:
    (one,) = (m for m in report["models"] if m["model"] == model)
    return one["concepts"][concept][what][scorer]["value"]


def test_a_concept_is_nearer_to_its_own_pictures_than_to_anothers(measured, studio: Path) -> None:
    right = measured("figaro.safetensors", "toyworld", *FEW, references="figaro")
    swapped = {"figaro": "bolt-pictures", "bolt": "figaro-pictures"}
    known = [p for n, f in swapped.items() for p in ("--reference", f"{n}={studio / f}")]
    wrong = measured("figaro.safetensors", "bolt.safetensors", *FEW, *known, references="")
    own = value(right, "figaro.safetensors", "figaro", "image")
    assert own > value(wrong, "figaro.safetensors", "figaro", "image") + 0.2
    assert own > value(right, "toyworld", "figaro", "image"), "a class word is anybody of the kind"
    assert own < right["among"]["toyworld"]["figaro"]
    assert value(right, "figaro.safetensors", "figaro", "text") > 0.5


def test_a_fusion_of_what_does_not_collide_keeps_everything_and_moves_nothing(measured) -> None:
    few = ("--per-prompt", 2, "--drift", 1, "--steps", 5)
    report = measured("figaro.safetensors", "fused", *few)
    single, fused = report["models"]
    assert (single["model"], fused["model"]) == ("figaro.safetensors", "fused")
    kept = fused["concepts"]["figaro"]["kept"]["toyworld"]
    assert kept["low"] <= kept["value"] <= kept["high"]
    assert kept["value"] == pytest.approx(1, abs=0.02)
    assert not single["concepts"]["figaro"]["kept"]
    assert not fused["concepts"]["bolt"]["kept"], "nothing to compare it with"
    assert fused["drift"]["squared"]["value"] < 1e-4
    assert fused["drift"]["features"]["toyworld"]["value"] < 0.01


def test_what_moves_the_base_drifts(measured, make_concept, studio: Path, tmp_path: Path) -> None:
    make_concept("figaro", size=0.3).save(tmp_path / "loud.safetensors")
    report = measured(
        tmp_path / "loud.safetensors",
        "--per-prompt",
        1,
        "--drift",
        2,
        "--steps",
        6,
        references="figaro",
    )
    (one,) = report["models"]
    assert one["drift"]["pictures"] == 4
    assert one["drift"]["squared"]["value"] > 1e-3
    assert one["drift"]["features"]["toyworld"]["value"] > 0.05


def test_scenes_are_measured_region_by_region(measured, call, studio: Path, tmp_path: Path) -> None:
    regions = [("0,0,.5,1", "figaro"), (".5,0,1,1", "bolt")]
    drawn = [p for box, n in regions for p in ("--region", f"{box}: a <{n}> on the beach")]
    right = tmp_path / "right.png"
    size = ("--width", 64, "--steps", 10)
    assert call("sample", studio / "fused", "an empty beach", *drawn, *size, "-o", right)[0] == 0
    scenes = ("--scene", right)
    report = measured(
        "fused", "figaro.safetensors", *scenes, *FEW[2:4], "--per-prompt", 2, "--steps", 2
    )
    having = [m for m in report["models"] if m["scenes"]]
    assert [m["model"] for m in having] == ["fused"], (
        "a model without the other concept is left out"
    )
    left, other = having[0]["scenes"]["right.png"]
    assert (left["concept"], other["concept"]) == ("figaro", "bolt")
    assert left["nearest"]["toyworld"]["value"] + other["nearest"]["toyworld"]["value"] > 1


def test_a_killed_run_goes_on_where_it_was(measured, monkeypatch, tmp_path: Path) -> None:
    draw, drawn, killed = Model.draw, [], [True]

    def counted(model: Model, recipe: Recipe, *args: Any) -> Any:
        if drawn and killed[0]:
            raise KeyboardInterrupt
        drawn.append(len(recipe.prompts) * recipe.n)
        return draw(model, recipe, *args)

    monkeypatch.setattr(Model, "draw", counted)
    models = (
        "figaro.safetensors",
        "fused",
        "--steps",
        3,
        "--drift",
        0,
        "--work",
        tmp_path / "work",
    )

    def run(per_prompt: int) -> dict[str, Any]:
        return measured(*models, "--per-prompt", per_prompt, references="figaro")

    with pytest.raises((KeyboardInterrupt, AssertionError)):
        run(2)
    killed[0] = False
    report = run(2)
    assert len(drawn) == 2, "one batch before the kill, one after it"
    assert sum(drawn) == len(list((tmp_path / "work" / "pictures").glob("*.png")))
    drawn.clear()
    shutil.rmtree(tmp_path / "work" / "features")
    assert run(2) == report, "features are found again"
    assert not drawn
    run(3)
    assert sum(drawn) == 2 * 2, "of two models one picture more of two prompts"


def test_no_private_picture_lies_in_the_work_folder(measured, studio, tmp_path) -> None:
    work = tmp_path / "work"
    measured("figaro.safetensors", *FEW, "--steps", 1, "--work", work, references="figaro")
    private = {Image.open(file).tobytes() for file in (studio / "figaro-pictures").glob("*.png")}
    kept = [file for file in work.rglob("*") if file.is_file()]
    assert not private & {Image.open(f).tobytes() for f in kept if f.suffix == ".png"}
    said = b"".join(str(f).encode() + f.read_bytes() for f in kept)
    assert b"figaro-pictures" not in said
    assert {f.parent.name for f in kept} == {"pictures", "features"}


def test_the_table_and_the_sheet_show_every_model(call, studio: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    models = [studio / name for name in ("figaro.safetensors", "fused")]
    reference = ("--reference", f"figaro={studio}/figaro-pictures")
    rest = ("--prompts", studio / "prompts.txt", "--per-prompt", 2, "--drift", 1, "--steps", 2)
    code, out, err = call("evaluate", *models, *reference, *rest, "--sheet", sheet)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].split("  ")[0] == "concept"
    assert sum(line.startswith("<figaro>") for line in lines) == 3
    assert sum("toyworld" in line and " to " in line for line in lines) == 4
    with Image.open(sheet) as shown:
        assert shown.width > 2 * 96
        assert shown.height > 2 * 96


def test_without_references_prompts_alone_are_measured(measured) -> None:
    report = measured("fused", *FEW, "--steps", 2, references="")
    (one,) = report["models"]
    assert {*one["concepts"]} == {"figaro", "bolt"}
    assert not one["concepts"]["figaro"]["image"]
    assert one["concepts"]["figaro"]["text"]
