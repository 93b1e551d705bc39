"""SIGKILL at random points of 50 additions: the ledger is there, as before or as after."""

import random
import subprocess
import sys
from pathlib import Path

import torch

from fedshow_server.fusion.ledger import open_ledger
from fedshow_server.fusion.ledger.receipt import relative_difference
from tests.server.fusion.synthetic import RECORDING, WIRING, record_generic, ridge, statistics

CONCEPTS = 50
STEPS_OF_ONE = 4000
"""Roughly the function calls of one addition with its fusion."""


def contents(folder: Path) -> tuple[list[str], dict[str, torch.Tensor]]:
    with open_ledger(folder, WIRING, RECORDING) as ledger:
        names = list(ledger.weights)
        return names, {n.name: ridge(n) for n in ledger.layers()} if names else {}


def test_killed_at_random_points_nothing_is_lost_or_half_there(tmp_path: Path) -> None:
    chance = random.Random(0)
    names = [statistics(seed).name for seed in range(1, CONCEPTS + 1)]
    known: list[str] = []
    kills = 0
    with subprocess.Popen(
        [sys.executable, "-m", "tests.server.fusion.dying"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdin
        assert child.stdout
        while len(known) < CONCEPTS:
            steps = chance.randrange(1, 8 * STEPS_OF_ONE)
            child.stdin.write(f"{tmp_path / 'a'} {len(known) + 1} {CONCEPTS} {steps}\n")
            child.stdin.flush()
            status = int(child.stdout.readline())
            assert status in (0, -9)
            kills += status == -9
            found, _ = contents(tmp_path / "a")
            assert found == names[: len(found)]
            assert len(found) >= len(known), "what was added is lost"
            known = found
    assert kills >= 10
    with open_ledger(tmp_path / "b", WIRING, RECORDING) as ledger:
        record_generic(ledger)
        for seed in range(1, CONCEPTS + 1):
            ledger.add(statistics(seed))
    _, expected = contents(tmp_path / "b")
    _, survived = contents(tmp_path / "a")
    for layer, delta_OI in expected.items():
        assert relative_difference(survived[layer], delta_OI) <= 1e-6
    files = {path.name for path in (tmp_path / "a").rglob("*") if path.is_file()}
    assert len(files) == 2 + 4 + CONCEPTS + 3, "leftovers"
