"""The bill of materials tells licences, and nothing of the machine that wrote it."""

import pytest

from distribution.bill import READ, forget_places, tell_licences, unlicensed

BILL = {
    "components": [
        {
            "name": "torch",
            "externalReferences": [
                {"url": "file:///home/anna/wheels/torch.whl", "type": "distribution"},
                {"url": "https://pytorch.org", "type": "website"},
            ],
            "licenses": [{"license": {"id": "BSD-3-Clause"}}],
        },
        {"name": "mystery", "licenses": []},
    ]
}


def test_places_on_this_machine_are_forgotten() -> None:
    forget_places(BILL)
    assert "anna" not in str(BILL)
    assert BILL["components"][0]["externalReferences"] == [
        {"url": "https://pytorch.org", "type": "website"}
    ]


def test_parts_without_a_licence_are_named_unless_somebody_has_read_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tell_licences(BILL)
    assert unlicensed(BILL) == ["mystery"]
    monkeypatch.setitem(READ, "mystery", "MIT")
    monkeypatch.setitem(READ, "torch", "MIT")
    tell_licences(BILL)
    assert unlicensed(BILL) == []
    assert "BSD-3-Clause" in str(BILL["components"][0])  # what a package says itself stands
