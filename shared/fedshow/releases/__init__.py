"""Release folders: what is in them, how they are written and how they are verified."""

from fedshow.releases.manifest import FileEntry, Manifest, Member, release_id
from fedshow.releases.verify import verify_release

__all__ = ["FileEntry", "Manifest", "Member", "release_id", "verify_release"]
