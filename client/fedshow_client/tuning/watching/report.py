"""One page about a run, next to the concept file: complete in itself, without scripts."""

import base64
import io
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from html import escape
from importlib.resources import files
from pathlib import Path
from statistics import fmean

from PIL import Image

from fedshow.files import write_atomically
from fedshow_client.tuning.checkpoint import Progress
from fedshow_client.tuning.watching.curves import Chart, Line, smoothed, thinned
from fedshow_client.tuning.watching.looks import Look
from fedshow_client.tuning.watching.samples import Sample
from fedshow_client.tuning.watching.settings import SCALES
from fedshow_client.tuning.watching.watch import Watch

THUMBNAIL_EDGE = 256
CHART_STYLE = files("fedshow.web") / "static" / "chart.css"
MOST_LOOKS = 8
"""Whose pictures are on the page; the others' stay in the work folder."""

log = logging.getLogger(__name__)


def write_report(
    path: Path,
    watch: Watch,
    progress: Progress,
    about: Mapping[str, object],
    remarks: Sequence[str] = (),
) -> None:
    """Writes the page; a disk that is full costs only a warning.

    `about` goes among the settings, `remarks` below the figures.
    """
    try:
        write_atomically(path, render(watch, progress, about, remarks).encode())
    except OSError as error:
        log.warning("%s cannot be written (%s)", path, error.strerror or error)


def render(
    watch: Watch, progress: Progress, about: Mapping[str, object], remarks: Sequence[str] = ()
) -> str:
    """The page as HTML."""
    title = f"<{watch.name}>, a {watch.class_word}"
    style = (files(__package__) / "report.css").read_text() + CHART_STYLE.read_text()
    body = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{escape(_summary(watch, progress))}</p>",
        *(f"<p>{escape(text)}</p>" for text in remarks),
        *_figures(watch, progress),
        *_loss(watch, progress),
        *_scores(watch),
        *_pictures(watch),
        *_data(watch),
        *_settings(watch, about),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}: tuning</title>\n<style>\n{style}</style>\n</head>\n"
        "<body>\n<main>\n" + "\n".join(body) + "\n</main>\n</body>\n</html>\n"
    )


def _summary(watch: Watch, progress: Progress) -> str:
    steps = watch.recipe.steps
    took = timedelta(seconds=round(progress.seconds))
    if watch.wants_stop():
        return f"Ended after {progress.step} of {steps} steps ({took}): the scores had fallen."
    if progress.step < steps:
        return f"Still being tuned: {progress.step} of {steps} steps in {took}."
    return f"Tuned in {steps} steps ({took})."


def _figures(watch: Watch, progress: Progress) -> Iterator[str]:
    tail = progress.losses[-50:]
    rows: dict[str, object] = {"Loss, mean of the last steps": f"{fmean(tail):.4f}"} if tail else {}
    names = {
        "kept_step": "Step whose weights are kept",
        "identity": "Identity: likeness to the private pictures",
        "identity_embedding": "Identity of the embedding alone (scale 0)",
        "text": "Text: what the prompt says is there",
    }
    rows |= {names[key]: value for key, value in watch.metrics(progress).items()}
    yield "<h2>Figures</h2>"
    yield _table(rows)
    yield f'<p class="note">{escape(_measured(watch))}</p>'


def _measured(watch: Watch) -> str:
    if not watch.interval:
        return "No pictures were drawn during this run: it is short, or they were switched off."
    if watch.scorer is None:
        return (
            "No scores: this base has no measuring encoder of its own; name one with --scorer "
            "(a CLIP, DINOv2 or ArcFace model)."
        )
    return (
        f"Measured with {watch.scorer.name} on samples of fixed prompts and noise. The step kept "
        "is the latest whose score, the geometric mean of identity and text, is not clearly below "
        "the highest."
    )


def _loss(watch: Watch, progress: Progress) -> Iterator[str]:
    if progress.losses:
        lines = [
            Line("each step", thinned(progress.losses), "faint"),
            Line("mean", smoothed(progress.losses), "one"),
        ]
        yield "<h2>Loss</h2>"
        yield _figure(Chart("Loss over steps", "loss", lines, watch.kept))


def _scores(watch: Watch) -> Iterator[str]:
    looks = [look for look in watch.history.looks if look.identity]
    if looks:
        lines = [
            Line(f"identity, scale {scale:g}", _means(looks, "identity", row), style)
            for row, (scale, style) in enumerate(zip(SCALES, ("three", "two", "one"), strict=True))
        ]
        if looks[0].text:
            lines.append(Line("text, scale 1", _means(looks, "text", -1), "four"))
        yield "<h2>Scores</h2>"
        yield _figure(Chart("Scores over steps", "score", lines, watch.kept))


def _means(looks: Iterable[Look], kind: str, row: int) -> list[tuple[float, float]]:
    return [(look.step, fmean(getattr(look, kind)[row])) for look in looks]


def _figure(chart: Chart) -> str:
    return f"<figure>{chart.svg()}</figure>"


def _pictures(watch: Watch) -> Iterator[str]:
    shown = [(look, watch.folder.load(look.step, watch.name)) for look in _chosen(watch)]
    shown = [(look, samples) for look, samples in shown if samples]
    if shown:
        yield "<h2>Samples</h2>"
        yield (
            "<p>The same prompts and the same noise each time. At scale 0 the adapters are off: "
            "what is seen then, the embedding alone has learnt.</p>"
        )
    for look, samples in reversed(shown):
        kept = " (kept)" if look.step == watch.kept else ""
        yield f"<h3>Step {look.step}{kept}</h3>"
        yield _grid(samples, look.step)


def _chosen(watch: Watch) -> list[Look]:
    """The last look, the kept one and as many others, evenly spread, as the page shows."""
    looks = watch.history.looks
    every = max(1, -(-len(looks) // MOST_LOOKS))
    kept = [look for look in looks[::-1][::every] if look.step != watch.kept]
    kept += [look for look in looks if look.step == watch.kept]
    return sorted(kept, key=lambda look: look.step)


def _grid(samples: Sequence[Sample], step: int) -> str:
    prompts = list(dict.fromkeys(sample.prompt for sample in samples))
    head = "".join(f'<th scope="col">{escape(prompt)}</th>' for prompt in prompts)
    rows = [
        f'<tr><th scope="row">scale {scale:g}</th>'
        + "".join(_cell(sample, step) for sample in samples if sample.scale == scale)
        + "</tr>"
        for scale in SCALES
    ]
    return (
        f'<div class="wide"><table class="grid"><thead><tr><td></td>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _cell(sample: Sample, step: int) -> str:
    said = f"{sample.prompt}, scale {sample.scale:g}, step {step}"
    width, height = sample.image.size
    small = ' class="pixels"' if max(sample.image.size) < THUMBNAIL_EDGE else ""
    return (
        f'<td><img src="{_data_uri(sample.image)}" alt="{escape(said)}" '
        f'width="{width}" height="{height}"{small}></td>'
    )


def _data_uri(image: Image.Image) -> str:
    content = io.BytesIO()
    if max(image.size) < THUMBNAIL_EDGE:
        image.save(content, "PNG")
        kind = "png"
    else:
        small = image.copy()
        small.thumbnail((THUMBNAIL_EDGE, THUMBNAIL_EDGE))
        small.save(content, "JPEG", quality=88)
        kind = "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(content.getvalue()).decode()}"


def _data(watch: Watch) -> Iterator[str]:
    images = watch.images
    yield "<h2>Data</h2>"
    yield _table(
        {
            "Pictures used": len(images),
            "With a mask": sum(image.mask is not None for image in images),
            "With a caption of their own": sum(image.caption is not None for image in images),
        }
    )
    yield (
        '<p class="note">This page is written to this machine only, and none of the private pictures '
        "is on it. But the samples show what was learnt from them: give it away as you would a "
        "picture.</p>"
    )


def _settings(watch: Watch, about: Mapping[str, object]) -> Iterator[str]:
    recipe = {
        key: f"{value:g}" if isinstance(value, float) else value for key, value in watch.recipe
    }
    yield "<h2>Settings</h2>"
    yield _table({**about, **recipe})


def _table(rows: Mapping[str, object]) -> str:
    cells = [
        f'<tr><th scope="row">{escape(key)}</th><td>{escape(str(value))}</td></tr>'
        for key, value in rows.items()
    ]
    return f'<table class="facts"><tbody>{"".join(cells)}</tbody></table>'
