"""Which nodes are there, judged by their calls: no Flower run is started for those that are not."""

import time

from fedshow_server.store import Node

PRESENT_SECONDS = 420.0
"""A daemon takes its watch up again every few minutes."""


class Presence:
    """When each node last called."""

    def __init__(self) -> None:
        self._last_call: dict[int, float] = {}

    def saw(self, node: Node) -> None:
        """The node called just now."""
        self._last_call[node.id] = time.monotonic()

    def is_present(self, node_id: int) -> bool:
        """Whether the node called lately."""
        last = self._last_call.get(node_id)
        return last is not None and time.monotonic() - last < PRESENT_SECONDS
