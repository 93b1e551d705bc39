"""The seam every base-model family fills in."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from torch import nn

from fedshow.families.encoded import Encoded
from fedshow.families.text_encoder import TextEncoder

Size = tuple[int, int]
"""Height and width in pixels."""

UNREAD: Mapping[str, object] = {"feature_extractor": None, "image_encoder": None}
"""Options for what stock pipelines look at pictures with: no base needs it, whatever its index names."""


class Family(Protocol):
    """How one kind of base is adapted; everything else asks here and never branches on a name.

    `pipeline` is always the stock diffusers pipeline of a base of this family.
    """

    name: str

    pipeline_class: str
    """The stock diffusers pipeline that draws from text: what `_class_name` in `model_index.json` says."""

    denoiser: str
    """What diffusers calls the component that denoises; keys of its adapters start with it."""

    opening_options: Mapping[str, object]
    """What the stock pipeline is opened with: without what checks, marks and looks at pictures."""

    left_out: tuple[str, ...]
    """Components that such bases may have and that are not opened; who loads a release without fedshow must
    say None for them.
    """

    parts: Mapping[str, str]
    """Components that such a base must have, each with the name of its class."""

    text_activation: str | None
    """What the text encoder computes with, where another activation means another model; None: any."""

    denoiser_config: Mapping[str, object]
    """What the denoiser's configuration says in this family alone."""

    context_width: str
    """Where the denoiser's configuration says how wide all text encoders are together."""

    flow: bool
    """Whether the denoiser predicts the way from picture to noise, not what the scheduler's configuration
    says: noise or velocity of a diffusion.
    """

    guidance: float
    """Classifier-free guidance that suits bases of full size."""

    kept_bytes: tuple[int, int]
    """What the denoiser keeps, in halves, of a pixel of a picture that it is tuned on; and what when it
    computes activations twice. Counted from its tensors at true size, and a fifth more.
    """

    def components(self, pipeline: Any) -> dict[str, nn.Module]:
        """Text encoders and denoiser, which adapters may change, by the names that concept files use."""
        ...

    def text_encoders(self, pipeline: Any) -> list[TextEncoder]:
        """In the order in which their features stand side by side."""
        ...

    def adapted_layers(self, components: Mapping[str, nn.Module]) -> dict[str, nn.Linear]:
        """`<component>.<module>` to the linear layers that take adapters, names as in concept files."""
        ...

    def slotted_layers(self, denoiser: nn.Module) -> list[tuple[nn.Module, int]]:
        """Cross-attention modules in execution order (down, mid, up), each with its token slot."""
        ...

    def self_attention(self, denoiser: nn.Module) -> list[nn.Module]:
        """Modules in which every place of the picture looks at every other."""
        ...

    def is_self_attention(self, layer: str) -> bool:
        """Whether the layer belongs to the denoiser's self-attention: its inputs name no concept."""
        ...

    def is_cross_attention(self, layer: str) -> bool:
        """Whether the layer belongs to the denoiser's cross-attention: what it misses of a concept shows in
        pictures.
        """
        ...

    def input_of(self, layer: str) -> str:
        """Name of the input that `layer` reads; layers that read the same input share one Gram matrix."""
        ...

    def keys_of(self, layer: str) -> str | None:
        """Name of the keys that the queries of `layer` meet; None for all but cross-attention's queries."""
        ...

    def without_prompt(self, pipeline: Any, encoded: Encoded, empty: Sequence[bool]) -> Encoded:
        """What stands for empty negative prompts, `empty` says which: layered features `[B, S, T, D]`."""
        ...

    def denoiser_inputs(self, pipeline: Any, encoded: Encoded, size: Size) -> dict[str, Any]:
        """What the denoiser gets besides noisy latents and times, for pictures of this size."""
        ...

    def pipeline_inputs(
        self, pipeline: Any, positive: Encoded, negative: Encoded
    ) -> dict[str, Any]:
        """Packed features of prompts and negative prompts, as the stock pipelines call them."""
        ...

    def sampler(self, scheduler: Any) -> Any:
        """The scheduler to draw with, made of the base's own."""
        ...

    def from_image(self, pipeline: Any) -> Any:
        """The stock pipeline that begins with an image, of the same parts."""
        ...
