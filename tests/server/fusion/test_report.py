"""What the statistics say about a fusion, and how it is shown."""

import io
from collections.abc import Sequence

import pytest
import torch
from PIL import Image

from fedshow_server.fusion.crosstalk import crosstalk, error_terms
from fedshow_server.fusion.pictures import heat_map, report_pictures, shade
from fedshow_server.fusion.report import MOST_CROSSTALK, layer_report, residual
from fedshow_server.fusion.rules import FUSIONS
from fedshow_server.fusion.rules.gradient import Choice, Eigenbasis
from fedshow_server.fusion.summary import sentences, short, summary_of
from fedshow_server.fusion.sums import Layer, Part, energy
from fedshow_server.fusion.update import smallest
from tests.server.fusion.test_rules import make_layer, make_part

CHOICES = [Choice(0.3, 0.05, 1.0), Choice(0.1, 0.2, 0.0), Choice(1.0, 1e-3, 1.0)]


def report_of(layer: Layer, method: str = "gradient") -> dict[str, object]:
    solution = FUSIONS[method](layer)
    return layer_report(layer, smallest(solution.delta_OI, layer.parts(), solution.settings))


@pytest.mark.parametrize("choice", CHOICES)
def test_the_terms_of_the_error_add_up_to_it(choice: Choice) -> None:
    parts = [make_part(1, 2.0), make_part(2), make_part(3, 0.5)]
    layer = make_layer(parts)
    optimum = Eigenbasis(layer, choice.guard).optimum(choice.ridge, choice.toward_mean)
    for part, terms in zip(parts, error_terms(layer, choice), strict=True):
        error = sum((up @ down for up, down in terms), torch.zeros_like(optimum))
        torch.testing.assert_close(error, optimum - part.delta_OI)


def test_crosstalk_is_the_energy_of_a_term_on_unseen_inputs() -> None:
    parts = [make_part(1, 2.0), make_part(2)]
    layer = make_layer(parts)
    table = crosstalk(layer, CHOICES[0])
    up, down = error_terms(layer, CHOICES[0])[0][1]
    heldout_II = parts[0].heldout_II
    assert heldout_II is not None
    expected = energy(up @ down, heldout_II) / energy(parts[0].delta_OI, heldout_II)
    assert table[0][1] == pytest.approx(expected, abs=1e-5)


def test_twins_never_conflict_and_opposites_do() -> None:
    part = make_part(1)
    opposite = Part(part.down_RI, -part.up_OR, 1.0, part.fit_II, part.heldout_II)
    agree, differ = (make_layer([part, other]) for other in (part, opposite))
    assert crosstalk(agree, CHOICES[1])[0][1] == 0
    assert crosstalk(differ, CHOICES[1])[0][1] > 0.5
    reports = {"unet.one": report_of(agree), "unet.two": report_of(differ)}
    summary = summary_of(["potter", "mimi"], reports)
    (conflict,) = summary["conflicts"]  # type: ignore[misc,attr-defined]
    assert conflict["concepts"] == ["potter", "mimi"]
    assert conflict["layers"] == ["unet.two"]
    said = "\n".join(sentences(summary))
    assert "<potter> and <mimi> conflict" in said
    assert "two" in said
    assert summary_of(["potter", "mimi"], {"unet.one": report_of(agree)})["conflicts"] == []


def test_residuals_are_those_of_the_update() -> None:
    parts = [make_part(1), make_part(2)]
    layer = make_layer(parts)
    for method in ("average", "ties", "gradient"):  # as LoRA or as matrix
        delta_OI = FUSIONS[method](layer).delta_OI
        found = report_of(layer, method)
        for kind, name in (("heldout_II", "residual_heldout"), ("fit_II", "residual")):
            expected = [
                energy(delta_OI - part.delta_OI, getattr(part, kind))
                / energy(part.delta_OI, getattr(part, kind))
                for part in parts
            ]
            assert found[name] == pytest.approx(expected, abs=1e-5)
        assert found["drift"] == pytest.approx(layer.drift(delta_OI), abs=1e-5)
        assert "crosstalk" in found


def test_a_summary_is_of_what_shows_and_counts_by_what_a_concept_does() -> None:
    """Text and self-attention do not decide it; who does next to nothing in a layer misses nothing there."""
    strong, weak = make_part(1), make_part(2)
    weak = Part(weak.down_RI, weak.up_OR * 1e-3, 1.0, weak.fit_II, weak.heldout_II)
    layer = make_layer([strong, weak])
    good, poor = (
        layer_report(layer, smallest(delta_OI, layer.parts()), shows)
        for delta_OI, shows in ((strong.delta_OI, True), (0 * strong.delta_OI, False))
    )
    alone = summary_of(["potter", "mimi"], {"unet.one": good})
    assert summary_of(["potter", "mimi"], {"unet.one": good, "text.two": poor}) == alone
    assert summary_of(["potter"], {"text.two": poor})["residual_heldout"] == {"potter": 2.0}
    heldout_II = weak.heldout_II
    assert heldout_II is not None
    expected = energy(strong.delta_OI - weak.delta_OI, heldout_II) / layer.typical
    found = alone["residual_heldout"]
    assert found["mimi"] == pytest.approx(expected, abs=1e-3)  # type: ignore[index]


def test_a_concept_without_an_adapter_misses_nothing() -> None:
    part = make_part(1)
    absent = Part(part.down_RI[:0], part.up_OR[:, :0], 1.0, part.fit_II, part.heldout_II)
    found = report_of(make_layer([make_part(2), absent]))
    assert found["residual_heldout"][1] == 0  # type: ignore[index]
    assert found["crosstalk"][1] == [0, 0]  # type: ignore[index]
    idle = report_of(make_layer([absent, absent]))
    assert (idle["drift"], idle["crosstalk"]) == (0, [[0, 0], [0, 0]])
    update = smallest(torch.zeros(6, 10, dtype=torch.float64), [absent])
    assert part.fit_II is not None
    assert residual(update, part, part.fit_II) == 1


def test_no_table_of_all_pairs_for_many_concepts() -> None:
    many = make_layer([make_part(k) for k in range(MOST_CROSSTALK + 1)])
    reports = {"unet.one": report_of(many, "average")}
    summary = summary_of([f"c{k}" for k in range(MOST_CROSSTALK + 1)], reports)
    assert "crosstalk" not in reports["unet.one"]
    assert set(summary) == {"residual_heldout", "drift"}
    assert len(sentences(summary)) == MOST_CROSSTALK + 2
    assert list(report_pictures(["c"] * 33, reports, summary)) == ["residuals.png"]


def test_pictures_show_every_value() -> None:
    layers = {f"unet.l{k}": report_of(make_layer([make_part(k), make_part(9)])) for k in (1, 2)}
    pictures = report_pictures(["potter", "mimi"], layers, summary_of(["potter", "mimi"], layers))
    assert set(pictures) == {"residuals.png", "crosstalk.png"}
    assert report_pictures([], {}, {}) == {}
    values = [[0.0, 0.25, 1.0], [0.5, 2.0, 0.75]]
    image = Image.open(io.BytesIO(heat_map("a title", ["r1", "r2"], ["a", "b", "c"], values)))
    colours: Sequence[object] = [colour for _, colour in image.getcolors(1 << 20) or []]
    assert {shade(value) for row in values for value in row} <= set(colours)


def test_shades_darken() -> None:
    lightness = [sum(shade(value / 20)) for value in range(21)]
    assert lightness == sorted(lightness, reverse=True)
    assert shade(5.0) == shade(1.0)
    assert shade(-0.1) == (255, 255, 255)


def test_layers_are_named_for_people() -> None:
    name = "unet.down_blocks.0.attentions.1.transformer_blocks.0.attn2.to_out.0"
    assert short(name) == "down_blocks.0.attentions.1 attn2.to_out"
    assert short("text_encoder.text_model.encoder.layers.3.self_attn.q_proj") == "layers.3 q_proj"
