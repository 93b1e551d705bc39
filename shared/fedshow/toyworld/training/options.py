"""The command line of a training stage: the options that every stage has, and settings from them."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import torch

from fedshow.toyworld.training.loop import LoopSettings
from fedshow.toyworld.training.parallel import Rank, run_parallel

Settings = TypeVar("Settings")

ENDLESS_STEPS = 1_000_000
"""More than anybody waits for: then the deadline ends the training."""


def stage_parser(
    description: str | None, *, learning_rate: float, average_decay: float
) -> argparse.ArgumentParser:
    """A parser with the options that every stage has; a stage adds its own."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--folder", type=Path, required=True, help="checkpoints and results")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--steps", type=int, default=ENDLESS_STEPS)
    parser.add_argument(
        "--deadline-minutes",
        type=float,
        default=float("inf"),
        help="of training, all runs together",
    )
    parser.add_argument("--learning-rate", type=float, default=learning_rate)
    parser.add_argument("--weight-decay", type=float, default=1e-2)
    parser.add_argument("--warmup-steps", type=int, default=200)
    parser.add_argument("--decay-share", type=float, default=0.4)
    parser.add_argument("--average-decay", type=float, default=average_decay)
    parser.add_argument("--clip-norm", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--checkpoint-minutes", type=float, default=2.0)
    return parser


def add_images(parser: argparse.ArgumentParser) -> None:
    """The option for a drawn data set."""
    parser.add_argument("--images", type=Path, required=True, help="folder of a drawn data set")


def add_vae(parser: argparse.ArgumentParser) -> None:
    """The option for a trained autoencoder."""
    parser.add_argument("--vae", type=Path, required=True, help="folder of a trained autoencoder")


def add_network(parser: argparse.ArgumentParser, channels: list[int], batch: int) -> None:
    """The options for a network's levels and for how many pictures it sees at once."""
    parser.add_argument("--channels", type=int, nargs="+", default=channels, help="of each level")
    parser.add_argument("--batch", type=int, default=batch, help="in each process")


def settings_of(kind: type[Settings], args: argparse.Namespace) -> Settings:
    """A stage's settings: `loop` from the shared options, each other field from its own."""
    settings = {"loop": LoopSettings(**_given(LoopSettings, args)), **_given(kind, args)}
    return kind(**settings)


def _given(kind: type[Any], args: argparse.Namespace) -> dict[str, Any]:
    """By field name what the command line says; several values become a tuple."""
    values = {f.name: getattr(args, f.name) for f in fields(kind) if f.name != "loop"}
    return {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}


def run_stage(
    train: Callable[[Settings, Rank], None],
    kind: type[Settings],
    parser: argparse.ArgumentParser,
    words: Sequence[str] | None = None,
) -> None:
    """Trains as the command line, or these words of one, say, in as many processes as they say."""
    args = parser.parse_args(words)
    if args.steps >= ENDLESS_STEPS and not math.isfinite(args.deadline_minutes):
        parser.error("say when to end: --steps or --deadline-minutes")
    if torch.device(args.device).type == "cuda":
        torch.set_float32_matmul_precision("high")  # TF32, as convolutions have it by default
    run_parallel(train, settings_of(kind, args), args.processes)
