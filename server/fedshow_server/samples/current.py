"""Releases that are somebody's latest: what the others say of a concept is history."""

from fedshow_server.store import Store


def current_releases(store: Store) -> set[str]:
    """Ids of everybody's latest release."""
    special = store.concepts.special_viewers()
    viewers = (node for node in store.members.nodes() if node.id in special and not node.revoked)
    latest = (store.releases.seen_by(viewer).latest_id() for viewer in (None, *viewers))
    return {release for release in latest if release is not None}
