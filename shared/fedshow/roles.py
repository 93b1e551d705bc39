"""What members of a federation may do."""

from enum import StrEnum


class Role(StrEnum):
    """What a node may do on a server."""

    OWNER = "owner"
    """All that a contributor may, and what the server's own command line does."""
    CONTRIBUTOR = "contributor"
    """All that a downloader may, and bring concepts and take its own back."""
    DOWNLOADER = "downloader"
    """List, watch and download."""

    @property
    def contributes(self) -> bool:
        """Whether nodes of this role bring concepts."""
        return self is not Role.DOWNLOADER
