"""What is said about a number, and which concepts may leave."""

import pytest

from fedshow_client.tuning.leakage.verdict import Leakage, too_much


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (Leakage(0.08, 0.01, 0, 16), "leakage 0.08: samples resemble your pictures in subject"),
        (Leakage(0.31, 0.2, 0, 16), "leakage 0.31: single pictures of yours have left traces"),
        (Leakage(0.1, 0.7, 0, 16), "leakage 0.70: the file knows your pictures by heart"),
        (Leakage(0.6, 0.1, 3, 16), "leakage 0.60: 3 of 16 samples reproduce a picture of yours"),
        (Leakage(0.1, 0.1, 1, 16), "leakage 0.10: 1 of 16 samples reproduces a picture of yours"),
    ],
)
def test_the_sentence_fits_what_was_found(found: Leakage, words: str) -> None:
    assert str(found).startswith(words)


def test_the_number_is_the_worse_of_the_two() -> None:
    assert Leakage(0.1, 0.45, 0, 16).metrics == {"leakage": 0.45}
    assert Leakage(0.62, 0.45, 0, 16).metrics == {"leakage": 0.62}


@pytest.mark.parametrize(
    ("metrics", "limit", "reason"),
    [
        ({"leakage": 0.5}, 0.5, None),
        ({"leakage": 0.51}, 0.5, "leakage 0.51 is above the limit 0.5"),
        ({"leakage": 1.0}, 1.0, None),
        ({}, 1.0, None),
        ({}, 0.5, "its leakage was not measured, and the limit is 0.5"),
    ],
)
def test_only_what_is_known_to_be_under_the_limit_leaves(
    metrics: dict[str, float], limit: float, reason: str | None
) -> None:
    assert too_much(metrics, limit) == reason
