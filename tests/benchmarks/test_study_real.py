"""The study on anybody's pictures: with a small Stable Diffusion, CLIP and DINOv2 of random weights."""

import random
import shutil
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.fusing.judging import fused_path
from benchmarks.study import __main__ as command
from benchmarks.study.drawing import fused_task
from benchmarks.study.real.extents import sets_of, spread
from benchmarks.study.real.folders import GROUPS, Folder, read_folders, rivals_of
from benchmarks.study.real.material import Pictures
from benchmarks.study.real.prompts import TYPES, prompts_of
from benchmarks.study.real.regions import Layout
from benchmarks.study.real.study import Choice, judges, of_images
from benchmarks.study.study import Study
from benchmarks.study.ways import left_out
from fedshow.errors import InvalidInput
from fedshow.families import open_base
from fedshow.scoring.alignment import alignment_among, image_alignment
from fedshow.toyworld.heldout import draw_heldout
from fedshow_client.tuning.data.folder import scan
from tests.stage.bases import make_sd1, make_sd3
from tests.stage.scorers import tiny_clip, tiny_dino

CONCEPTS = {"mimi": ("characters", "kitten"), "bolt": ("characters", "robot")}
CONCEPTS |= {"volt": ("objects", "robot")}
CHARACTERS = {"mimi": "pip", "bolt": "bolt", "volt": "volt"}


def shoot(images: Path, concepts: Mapping[str, tuple[str, str]] = CONCEPTS) -> Path:
    """Four pictures of each concept in its folder."""
    for name, (group, kind) in concepts.items():
        folder = images / group / kind / name
        folder.mkdir(parents=True)
        drawn = draw_heldout(CHARACTERS[name], 4, random.Random(1), 64)
        for number, (picture, _) in enumerate(drawn):
            picture.image.save(folder / f"{number}.jpg")
    return images


@pytest.fixture(scope="module")
def choice(tmp_path_factory: pytest.TempPathFactory) -> Choice:
    """What somebody has on the disk."""
    root = tmp_path_factory.mktemp("own")
    return Choice(
        images=shoot(root / "images"),
        base=str(make_sd1(root / "sd1")),
        encoder=tiny_clip(root / "clip"),
        identity=tiny_dino(root / "dino"),
        tiny=True,
    )


@pytest.fixture(scope="module")
def study(choice: Choice, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A slice of all questions, answered."""
    found = of_images(choice, tmp_path_factory.mktemp("work"), "cpu", 0)
    found.answer()
    return found


def test_every_question_is_answered_and_shown_beside_the_results(study: Study) -> None:
    figures = study.figures()
    assert study.is_whole()
    assert figures["eye"]["identity"].startswith("dino")
    assert figures["eye"]["text"].startswith("clip")
    page = study.page()
    written = page.read_text()
    assert page.parent == study.bench.work, "private pictures are in it"
    for number in range(1, 6):
        assert f"## Q{number}" in written
    for said in (
        "textual-inversion",
        "lora average",
        "regions with windows",
        "| 2, cut to one rank",
    ):
        assert said in written
    assert "of one class: bolt, volt." in written
    images = sorted(path.name for path in (page.parent / "images").glob("*.png"))
    assert [f"images/{name}" in written for name in images] == [True] * 9
    regions = figures["regions"]["rows"]
    assert set(regions) == {f"{way} {n}" for way in ("plain", "regions", "windows") for n in (2, 3)}
    fused = figures["fusion"]["rows"]["ed-lora average"]["sizes"]["2"]
    assert fused["drift"] > 0


def test_answers_to_another_study_in_the_same_folder_do_not_count(
    study: Study, choice: Choice
) -> None:
    other = of_images(replace(choice, identity=choice.encoder), study.bench.work, "cpu", 0)
    assert study.is_whole()
    assert not other.is_whole()
    assert other.figures()["questions"] == 0


def test_it_goes_on_where_it_was_and_notices_other_pictures(study: Study, choice: Choice) -> None:
    runs = study.bench.work / "runs.jsonl"
    before = runs.read_text()
    of_images(choice, study.bench.work, "cpu", 0).answer()
    assert runs.read_text() == before
    added = choice.images / "characters" / "kitten" / "mimi" / "0.jpg"
    kept = added.read_bytes()
    shutil.copy(choice.images / "objects" / "robot" / "volt" / "1.jpg", added)
    try:
        of_images(choice, study.bench.work, "cpu", 0).answer(["methods"])
    finally:
        added.write_bytes(kept)
    again = runs.read_text().removeprefix(before)
    assert '"tune": "mimi"' in again
    assert '"tune": "bolt"' not in again


def test_drift_is_measured_anew_when_a_class_comes(study: Study, tmp_path: Path) -> None:
    bench, members = study.bench, ("bolt", "volt")
    assert isinstance(bench.material, Pictures)
    images = shoot(tmp_path)
    (images / "characters/kitten").rename(images / "characters/bunny")
    more = replace(bench, material=replace(bench.material, folder=images))
    for drift, is_other in ((True, True), (False, False)):
        keys = [
            fused_task(one, "ed-lora", "average", members, drift)[0]["drift"]
            for one in (bench, more)
        ]
        assert (keys[0] != keys[1]) == is_other


def test_pictures_are_compared_with_the_concepts_own_and_texts_with_its_class(
    choice: Choice,
) -> None:
    assert choice.identity
    material = Pictures(choice.images, choice.base, choice.encoder, choice.identity, "cpu")
    image = Image.open(choice.images / "characters/robot/bolt/0.jpg")
    prompts = material.prompts_of("bolt")[:2]
    found = material.read("bolt", [image, image], prompts)
    features = material.judge.features([image])
    expected = float(image_alignment(features, material.known("bolt")))
    assert found["identity"] == pytest.approx([expected] * 2, abs=1e-5)
    texts = [prompt.text.replace("<bolt>", "robot") for prompt in prompts]
    scores = material.reader.text_scores([image, image], texts)
    assert scores is not None
    assert found["text"] == pytest.approx(scores.tolist(), abs=1e-5)


def test_judges_see_all_pictures_that_are_taught_and_no_others(
    choice: Choice, tmp_path: Path
) -> None:
    images = shoot(tmp_path)
    folder = images / "characters/kitten/mimi"
    Image.open(folder / "1.jpg").rotate(90).save(folder / "another.bmp")
    shutil.copy(folder / "1.jpg", folder / "twin.jpg")
    material = Pictures(images, choice.base, choice.encoder, choice.encoder, "cpu")
    taught = scan(folder).accepted
    assert len(taught) == 5
    assert len(material.known("mimi")) == 5


def test_how_well_judges_tell_pictures_apart_is_measured_without_the_picture_itself(
    choice: Choice,
) -> None:
    material = Pictures(choice.images, choice.base, choice.encoder, choice.encoder, "cpu")
    found = judges(material)
    assert 0 <= found["top1"] <= 1
    assert found["own"] == pytest.approx(
        sum(alignment_among(material.known(name)) or 0 for name in CONCEPTS) / len(CONCEPTS),
        abs=1e-4,
    )


def test_an_encoder_that_reads_no_texts_is_refused(choice: Choice, tmp_path: Path) -> None:
    assert choice.identity
    wrong = replace(choice, encoder=choice.identity)
    with pytest.raises(InvalidInput, match="dino dino reads no texts"):
        of_images(wrong, tmp_path, "cpu", 0)


@pytest.mark.parametrize(
    ("concepts", "said"),
    [
        ({"mimi": ("pets", "kitten"), "bolt": ("characters", "robot")}, "groups are called"),
        ({"mimi": ("characters", "kitten")}, "1 concepts, a study needs at least 2"),
        ({"mimi": ("characters", "my cat"), "bolt": ("characters", "robot")}, "class 'my cat'"),
    ],
)
def test_folders_that_make_no_study_are_named(
    tmp_path: Path, concepts: Mapping[str, tuple[str, str]], said: str
) -> None:
    with pytest.raises(InvalidInput, match=said):
        read_folders(shoot(tmp_path, concepts))


def test_a_class_that_the_base_has_no_word_for_is_refused_before_anything_is_tuned(
    choice: Choice, tmp_path: Path
) -> None:
    images = shoot(tmp_path / "images")
    (images / "characters/kitten").rename(images / "characters/axolotl")
    with pytest.raises(InvalidInput, match="axolotl"):
        of_images(replace(choice, images=images), tmp_path, "cpu", 0)
    assert not (tmp_path / "runs.jsonl").exists()


def test_two_concepts_of_one_name_are_refused(tmp_path: Path) -> None:
    images = shoot(tmp_path)
    shutil.copytree(images / "characters/robot/bolt", images / "objects/robot/bolt")
    with pytest.raises(InvalidInput, match="is called 'bolt', too"):
        read_folders(images)


def test_all_groups_have_twenty_prompts_of_the_same_types_in_the_same_order() -> None:
    by_group = {group: prompts_of("mimi", group) for group in GROUPS}
    for found in by_group.values():
        assert len({prompt.text for prompt in found}) == 20
        assert all(prompt.text.count("<mimi>") == 1 for prompt in found)
        assert [prompt.type for prompt in found] == [kind for kind in TYPES for _ in range(5)]


def test_methods_that_a_base_cannot_take_are_left_out_and_named(tmp_path: Path) -> None:
    base = open_base(str(make_sd3(tmp_path / "sd3")))
    assert set(left_out(base)) == {"custom-diffusion"}
    assert "cross-attention" in left_out(base)["custom-diffusion"]


def test_names_of_many_concepts_make_no_file_name_too_long() -> None:
    many = ["a-very-long-name-of-one-concept"] * 24
    assert len(fused_path("gradient", many, Path()).name) < 100
    first, second = (fused_path("sum", n, Path()) for n in (("a-b", "c"), ("a", "b-c")))
    assert first != second


def folders(*classes: str) -> dict[str, Folder]:
    named = {f"c{chr(97 + k)}": word for k, word in enumerate(classes)}
    return {n: Folder(n, word, GROUPS[len(word) % 3], Path()) for n, word in named.items()}


def test_half_of_a_set_is_of_one_class_as_far_as_there_are_and_the_last_has_everybody() -> None:
    found = folders("dog", "dog", "cat", "dog", "mug", "cup")
    rivals = rivals_of(found)
    assert rivals == {"ca", "cb", "cd"}
    sets = sets_of(list(found), rivals)
    assert sets[2] == [("ca", "cb"), ("cd", "cc"), ("ce", "cf")]
    assert sets[4] == [("ca", "cb", "cc", "ce")]
    assert sets[6] == [tuple(found)]
    assert set(sets) == {2, 4, 6}
    strangers = folders("dog", "cat")
    assert not rivals_of(strangers)
    assert sets_of(list(strangers), rivals_of(strangers)) == {2: [("ca", "cb")]}


def test_what_takes_long_is_measured_with_some_of_all_groups() -> None:
    found = folders("dog", "cat", "mug", "bird", "lion")
    groups = [found[name].group for name in spread(found, 2)]
    assert len(set(groups)) == 2


def test_boxes_stand_side_by_side_and_are_cut_where_they_are() -> None:
    layout = Layout(0, ("mimi", "bolt"), "in deep snow")
    (left, right), image = layout.boxes, Image.new("RGB", (200, 100), "red")
    assert 0 < left[0] < left[2] <= 0.5 <= right[0] < right[2] < 1
    image.paste("blue", (100, 0, 200, 100))
    colours = [crop.getcolors() for crop in layout.crops(image)]
    assert [found[0][1] for found in colours if found and len(found) == 1] == [
        (255, 0, 0),
        (0, 0, 255),
    ]


def test_a_call_that_lacks_something_says_what(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", ["study", "--images", str(tmp_path)])
    with pytest.raises(SystemExit):
        command.main()
    assert "--images needs --base and --encoder" in capsys.readouterr().err
    full = ["study", "--images", str(tmp_path / "none"), "--base", "toyworld", "--encoder", "clip"]
    monkeypatch.setattr(sys, "argv", full)
    with pytest.raises(SystemExit, match="none: not a folder"):
        command.main()
