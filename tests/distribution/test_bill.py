"""The bill of materials tells licences, and nothing of the machine that wrote it."""

from distribution.bill import forget_places, unlicensed

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


def test_parts_without_a_licence_are_named() -> None:
    assert unlicensed(BILL) == ["mystery"]
