"""The README of a release: a model card with provenance."""

from collections.abc import Mapping, Sequence
from typing import Any

from fedshow.families.card import BaseCard

TEXT = """---
library_name: diffusers
tags: [text-to-image, fedshow, mix-of-show]
---
# fedshow release {release}

{count} concepts fused into `{base}` (fingerprint `{fingerprint}`) by `{method}` fusion.

| in a prompt | class | concept file (sha256) | weight |
|---|---|---|---|
{rows}

```python
import fedshow

pipe = fedshow.load(folder)
pipe("a {prompt} on the beach").images[0].save("picture.png")
```

Without fedshow, {gives} through this folder's own `pipeline.py`:

```python
from diffusers import DiffusionPipeline

pipe = DiffusionPipeline.from_pretrained(folder, custom_pipeline=folder, trust_remote_code=True)
pipe({asked}).images[0].save("picture.png")
```

`{pipeline}` also works: write both words of a concept
(`{words}`); each is then one mean vector instead of one per layer.

Made from adapters that their owners uploaded; no picture of theirs was ever on the server.
`manifest.json` lists every file with its sha256: `fedshow verify` checks them.
"""

WITH_REGIONS = (
    "layer-wise tokens and regions",
    '"on the beach", regions=[((0, 0, 0.5, 1), "a {prompt}")]',
)
OWN_PIPELINE = {
    "sd1": WITH_REGIONS,
    "sdxl": WITH_REGIONS,
    "sd3": ("concepts by name", '"a {prompt} on the beach"'),
}
"""By family what a release's own `pipeline.py` gives, and what to ask it for."""


def model_card(
    release: str,
    base: BaseCard,
    concepts: Sequence[Mapping[str, Any]],
    fusion: Mapping[str, object],
    pipeline: str,
) -> str:
    """The card as Markdown; `pipeline` is the stock call that loads the release."""
    rows = "\n".join(
        f"| `{c['prompt']}` | {c['class']} | `{c['sha256'][:16]}…` | {c['weight']:g} |"
        for c in concepts
    )
    gives, asked = OWN_PIPELINE[base.family]
    return TEXT.format(
        gives=gives,
        asked=asked.format(prompt=concepts[0]["prompt"]),
        release=release,
        pipeline=pipeline,
        count=len(concepts),
        base=base.name,
        fingerprint=base.sha256[:16],
        method=fusion["method"],
        rows=rows,
        prompt=concepts[0]["prompt"],
        words=" ".join(concepts[0]["words"]),
    )
