"""Stable Diffusion XL: two encoders' rows, the pooled embedding, conditions, strict concept files."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load, save
from torch import Tensor

from fedshow.concepts import ConceptFile, read_concept
from fedshow.edlora.tokens import EncoderWords
from fedshow.errors import InvalidInput, RefusedConcept
from fedshow.families import Base, BaseCard, open_base
from fedshow.sampling.conditions import Condition
from fedshow.sampling.model import Model
from fedshow.sampling.regions import Region
from tests.stage.concepts import random_concept, varied_concept

Change = Callable[[dict[str, Tensor]], object]


@pytest.fixture
def base(members: dict[str, Base]) -> Base:
    return members["sdxl"]


@pytest.fixture
def concept(base: Base, tmp_path: Path) -> ConceptFile:
    return random_concept(tmp_path / "potter.safetensors", base.card, "potter", 1, size=0.2)


@pytest.fixture
def model(base: Base, concept: ConceptFile):  # type: ignore[no-untyped-def]
    opened = Model(base)
    opened.add_concept(concept)
    yield opened
    opened.restore()


def test_the_card_knows_both_widths(base: Base, members: dict[str, Base]) -> None:
    assert base.card.token_dims == {"tokens": 32, "tokens_2": 48}
    assert members["sd1"].card.token_dims == {"tokens": 32}
    assert "token_dim_2" not in members["sd1"].card.model_dump_json(), "earlier nodes read it, too"
    layers = {name.partition(".")[0] for name in base.card.layers}
    assert layers == {"unet", "text_encoder", "text_encoder_2"}


@pytest.mark.parametrize(
    ("family", "words", "known"), [("sdxl", 2, 0), ("sdxl", 2, 10), ("sd3", 3, 0)]
)
def test_the_pooled_embedding_is_of_every_words_mean_row(
    folders: dict[str, Path], tmp_path: Path, family: str, words: int, known: int
) -> None:
    """By hand. In the last two cases the row of one word's mean has the number of another word's token."""
    base = open_base(str(folders[family]))
    for encoder in base.text_encoders:
        encoder.tokenizer.add_tokens([f"<earlier{k}>" for k in range(known)])
    model = Model(base)
    model.add_concept(
        varied_concept(tmp_path / "potter.safetensors", base.card, "potter", words=words)
    )
    text = "a <potter> on the beach"
    pooling = [own for own in model.tokens.encoders if own.encoder.pools]
    with torch.no_grad():
        found = model.tokens.encoded([text]).pooled
        expected = [pooled_by_hand(own, *model.tokens.spelled([text])) for own in pooling]
    torch.testing.assert_close(found, torch.cat(expected, -1))


def pooled_by_hand(words: EncoderWords, text: str) -> Tensor:
    """An encoder's own tokens with mean rows, the features at the first end token."""
    ids_BT = words.token_ids([text])
    vectors = words.embedding(ids_BT.clamp(max=words.embedding.num_embeddings - 1))
    for token, row_SD in zip(words.ids, words.embedding.rows, strict=True):
        vectors[ids_BT == token] = row_SD.mean(0)
    encoder = words.encoder.module
    end = ids_BT[0].tolist().index(words.tokenizer.eos_token_id)
    own = words.embedding.forward
    words.embedding.forward = lambda _: vectors  # type: ignore[method-assign]
    last = encoder(ids_BT, output_hidden_states=True).last_hidden_state
    words.embedding.forward = own  # type: ignore[method-assign]
    pooled: Tensor = encoder.text_projection(last[:, end])
    return pooled


def test_a_word_that_all_slots_share_is_its_own_mean(base: Base) -> None:
    """What is the same in every slot costs one encoding."""
    opened = Model(base)
    rows = [{"<mimi1>": torch.ones(1, dim)} for dim in base.card.token_dims.values()]
    opened.tokens.add_concept("mimi", *rows)
    distinct, _, _ = opened.tokens.encoders[1]._rows(("a <mimi1>",))
    opened.restore()
    assert len(distinct) == 1


def test_rows_of_both_encoders_and_the_mean_change_pictures(model: Model) -> None:
    def picture() -> bytes:
        return model("a <potter>", steps=1, seed=3).images[0].tobytes()

    before = picture()
    for words in model.tokens.encoders:
        with torch.no_grad():
            words.embedding.rows[0].neg_()
        after = picture()
        assert after != before
        before = after


def test_regions_are_drawn_by_their_own_prompts(model: Model) -> None:
    left = Region(box=(0, 0, 0.5, 1), prompt="a <potter>")
    right = Region(box=(0.5, 0, 1, 1), prompt="a robot")
    alone, both, again = (
        model("a beach", steps=2, seed=1, regions=regions, presence=0.5, windows=1.0)
        .images[0]
        .tobytes()
        for regions in ([left], [left, right], [left, right])
    )
    assert both == again
    assert alone != both


def test_regions_that_say_what_the_prompt_says_change_nothing(model: Model) -> None:
    same = [
        Region(box=(0, 0, 0.5, 1), prompt="a <potter>"),
        Region(box=(0.5, 0, 1, 1), prompt="a <potter>"),
    ]
    plain = model("a <potter>", steps=2).images[0].tobytes()
    regional = model("a <potter>", steps=2, regions=same).images[0].tobytes()
    assert max(abs(a - b) for a, b in zip(plain, regional, strict=True)) <= 1


@pytest.mark.parametrize("kind", ["control", "adapter"])
def test_conditions_count(model: Model, tmp_path: Path, kind: str) -> None:
    folder = _make_condition(kind, model.base, tmp_path / kind)
    shown = Image.new("RGB", (64, 64), "white")
    condition = Condition(kind=kind, name=str(folder), picture=shown)  # type: ignore[arg-type]
    plain = model("a <potter>", steps=1).images[0].tobytes()
    assert model("a <potter>", steps=1, conditions=[condition]).images[0].tobytes() != plain


@pytest.mark.parametrize(
    ("family", "says"),
    [("sd1", "has no types: name a folder"), ("sdxl", "none of sketch, pose, depth")],
)
def test_what_is_no_type_is_told_with_those_that_are(
    members: dict[str, Base], family: str, says: str
) -> None:
    shown = Image.new("RGB", (64, 64), "white")
    opened = Model(members[family])
    with pytest.raises(InvalidInput, match=f"adapter 'lines': no folder, and .*{says}"):
        opened(
            "a man", steps=1, conditions=[Condition(kind="adapter", name="lines", picture=shown)]
        )
    opened.restore()


def _make_condition(kind: str, base: Base, folder: Path) -> Path:
    from diffusers import ControlNetModel, T2IAdapter

    torch.manual_seed(0)
    if kind == "control":
        made = ControlNetModel.from_unet(
            base.denoiser, conditioning_embedding_out_channels=(8, 8, 8, 8)
        )
        for block in (*made.controlnet_down_blocks, made.controlnet_mid_block):
            torch.nn.init.normal_(block.weight, std=0.1)
    else:
        channels = [*base.denoiser.config.block_out_channels, 32]  # as the true ones, one too many
        made = T2IAdapter(3, channels, downscale_factor=16, adapter_type="full_adapter_xl")
    made.save_pretrained(folder)
    return folder


def _changed(concept: ConceptFile, change: Change) -> bytes:
    tensors = dict(load(concept.blob))
    change(tensors)
    return save(tensors, metadata={"fedshow": concept.header.dump()})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: [t.pop(f"tokens_2.<potter{k}>") for k in (1, 2)], "missing 'tokens_2.<potter"),
        (lambda t: t.pop("tokens_2.<potter2>"), "missing 'tokens_2.<potter2>'"),
        (lambda t: t.update({"tokens_2.<potter1>": torch.ones(11, 32)}), r"must be \[11, 48\]"),
        (lambda t: t.update({"tokens_3.<potter1>": torch.ones(11, 48)}), "unknown key"),
        (lambda t: t.update({"tokens_2.<mimi1>": torch.ones(11, 48)}), "unknown key"),
        (
            lambda t: t.update(
                {
                    f"text_encoder_2.text_model.x.{part}.weight": torch.ones(2, 2)
                    for part in ("lora_A", "lora_B")
                }
            ),
            "text_encoder_2.text_model.x",
        ),
    ],
)
def test_concept_files_must_fit_both_encoders(
    base: Base, concept: ConceptFile, change: Change, said: str
) -> None:
    with pytest.raises(RefusedConcept, match=said):
        read_concept(_changed(concept, change), base.card)


def test_a_base_with_one_encoder_takes_rows_for_no_second(
    members: dict[str, Base], tmp_path: Path
) -> None:
    card: BaseCard = members["sd1"].card
    concept = random_concept(tmp_path / "potter.safetensors", card, "potter", 1)
    rows = {f"tokens_2.<potter{k}>": torch.ones(card.slots, 32) for k in (1, 2)}
    with pytest.raises(RefusedConcept, match="tokens_2"):
        read_concept(_changed(concept, lambda tensors: tensors.update(rows)), card)
