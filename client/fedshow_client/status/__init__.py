"""What `fedshow client status` tells."""

from fedshow_client.status.facts import ClientStatus
from fedshow_client.status.reading import read_status
from fedshow_client.status.showing import show

__all__ = ["ClientStatus", "read_status", "show"]
