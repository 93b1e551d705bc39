"""Recipe values from the command line."""

import pytest

from fedshow.errors import InvalidInput
from fedshow_client.tuning.changes import read_changes


def test_values_get_the_type_of_their_field() -> None:
    found = read_changes(["batch=2", "lr_unet=1e-3", "flip=no", "min-snr = 5"])
    assert found == {"batch": 2, "lr_unet": 1e-3, "flip": False, "min_snr": 5.0}
    assert [type(value) for value in found.values()] == [int, float, bool, float]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lr_unit=1", "lr_unit: no such setting; did you mean lr_unet?"),
        ("xyzzy=1", "xyzzy: no such setting; there are alpha, "),
        ("batch=2.5", "batch=2.5: must be a whole number"),
        ("lr_unet=fast", "lr_unet=fast: must be a number"),
        ("flip=maybe", "flip=maybe: must be true or false"),
        ("batch", "'batch': must be KEY=VALUE"),
    ],
)
def test_what_is_wrong_is_said(text: str, said: str) -> None:
    with pytest.raises(InvalidInput) as error:
        read_changes([text])
    assert said in str(error.value)
