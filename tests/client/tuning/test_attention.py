"""Our attention is diffusers' attention, with maps."""

from itertools import product

import torch

from fedshow.families import Base
from fedshow.sampling.model import Model
from fedshow_client.tuning.attention import attending, attention_loss


def modules(base: Base) -> tuple[list[torch.nn.Module], list[torch.nn.Module]]:
    named = list(base.pipeline.unet.named_modules())
    return tuple([m for n, m in named if n.endswith(kind)] for kind in ("attn1", "attn2"))  # type: ignore[return-value]


@torch.no_grad()
def test_the_denoiser_says_the_same_with_and_without_maps_and_is_left_as_it_was(base: Base) -> None:
    model = Model(base)
    noisy, times = torch.randn(3, 8, 8, 8), torch.tensor([10, 500, 900])
    unet, features = base.pipeline.unet, model.tokens.encoded(["a monster"] * 3).features
    expected = unet(noisy, times, features).sample
    for capture, joined in product((True, False), repeat=2):
        with attending(*modules(base), capture, joined) as maps:
            for context in (features, features.unbind(1), features[:1]):
                assert torch.allclose(unet(noisy, times, context).sample, expected, atol=1e-4)
        assert len(maps) == 3 * len(modules(base)[1]) * capture
        assert all(torch.allclose(found.sum(-1), torch.ones(())) for found in maps)
    assert not any("forward" in vars(layer) for layers in modules(base) for layer in layers)
    model.restore()


def test_a_map_that_is_the_mask_costs_nothing_and_one_outside_costs() -> None:
    mask = torch.zeros(1, 1, 4, 4)
    mask[..., :2] = 1
    words = torch.tensor([[1, 2]])
    inside = mask.flatten(1)[..., None].repeat(1, 1, 3)
    small = mask[..., ::2, ::2].flatten(1)[..., None].repeat(1, 1, 3)
    assert attention_loss([inside, small, inside], words, mask) == 0
    assert attention_loss([inside, 1 - small, inside], words, mask) > 0.1
    assert attention_loss([inside / 2, small], words, mask, follow=False) == 0
