"""Talking to a joined server: its pinned channel, its releases, their files."""

from fedshow.transfer.backoff import patiently
from fedshow.transfer.connection import Connection
from fedshow.transfer.folder import pull_release
from fedshow.transfer.releases import get_release, list_releases, watch_releases
from fedshow.transfer.servers import (
    KnownServer,
    find_server,
    home_folder,
    known_servers,
    save_server,
)

__all__ = [
    "Connection",
    "KnownServer",
    "find_server",
    "get_release",
    "home_folder",
    "known_servers",
    "list_releases",
    "patiently",
    "pull_release",
    "save_server",
    "watch_releases",
]
