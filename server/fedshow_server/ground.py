"""What a server stands on, made before anything runs: settings, folder, ports, certificates, store, doors."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from fedshow.errors import InvalidInput
from fedshow_server.flower.presence import Presence
from fedshow_server.folder import DataFolder, Facts
from fedshow_server.members.guard import Guard
from fedshow_server.services.doors import Doors, Entrance
from fedshow_server.services.listening import Listener, listen
from fedshow_server.services.streams import OpenStreams
from fedshow_server.settings import ServerSettings
from fedshow_server.store import Store, open_store
from fedshow_server.upkeep.certificates import prepare_certificates
from fedshow_server.upkeep.disk import Disk
from fedshow_server.upkeep.metrics import Metrics
from fedshow_server.web.https_port import hold_port


@dataclass
class Ground:
    """All of it; nothing here does anything by itself."""

    settings: ServerSettings
    folder: DataFolder
    port: socket.socket
    store: Store
    disk: Disk
    metrics: Metrics
    presence: Presence
    guard: Guard
    entrance: Entrance
    streams: OpenStreams
    listener: Listener
    facts: Facts


@contextmanager
def ground_of(settings: ServerSettings, folder: DataFolder) -> Iterator[Ground]:
    """Inside, both ports are held and the store is open.

    Raises InvalidInput when an address, the database or the place for content cannot be had, or when
    content is not there.
    """
    prepare_certificates(folder.certificates, settings.name)
    with hold_port(settings.host, settings.port) as port:
        store = open_store(settings.database_url, settings.store_url)
        try:
            store.blobs.check()
            _check_content(store, settings.store_url)
            yield _ground(settings, folder, port, store)
        finally:
            store.close()


def _check_content(store: Store, place: str) -> None:
    """Raises InvalidInput for a place that has none of the concepts' files: one that is not mounted, say."""
    admitted = store.concepts.admitted()
    if admitted and not any(store.blobs.has(concept.sha256) for concept in admitted):
        raise InvalidInput(
            f"store {place}: the files of all {len(admitted)} concepts are missing there: mount it, or "
            f"give the --store that has them"
        )


def _ground(
    settings: ServerSettings,
    folder: DataFolder,
    port: socket.socket,
    store: Store,
) -> Ground:
    presence, streams = Presence(), OpenStreams(store.members)
    disk = Disk(settings.growing_folders, settings.free_disk_bytes)
    metrics = Metrics(store, lambda: disk.free_bytes)
    guard = Guard(settings, store.audit)
    entrance = Entrance(store.members, presence.saw, guard)
    doors = Doors(entrance, streams)
    listener = listen(settings.grpc_address, folder.certificates, doors, metrics.answered)
    return Ground(
        settings=settings,
        folder=folder,
        port=port,
        store=store,
        disk=disk,
        metrics=metrics,
        presence=presence,
        guard=guard,
        entrance=entrance,
        streams=streams,
        listener=listener,
        facts=_facts(settings, port.getsockname()[1], listener.port),
    )


def _facts(settings: ServerSettings, port: int, grpc_port: int) -> Facts:
    return Facts(
        name=settings.name,
        address=f"{settings.name}:{port}",
        grpc=f"{settings.name}:{grpc_port}",
        database=settings.database_url,
        store=settings.store,
    )
