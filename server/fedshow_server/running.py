"""The whole server in one process: ports, services, and the work that goes on behind them."""

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi import FastAPI

from fedshow.families.card import BaseCard
from fedshow_server.certificates import Certificates, prepare_certificates
from fedshow_server.collecting import Collector
from fedshow_server.describing import described_base
from fedshow_server.edge import make_edge
from fedshow_server.enrolment import Enrolment
from fedshow_server.folder import DataFolder, Facts
from fedshow_server.fusion_queue import FusionQueue
from fedshow_server.https_port import HttpsServer, hold_port
from fedshow_server.news import News
from fedshow_server.presence import Presence
from fedshow_server.publishing import sign_earlier
from fedshow_server.ray_cluster import check_address
from fedshow_server.services.concepts import ConceptServicer
from fedshow_server.services.doors import Doors, Entrance
from fedshow_server.services.listening import Listener, add_services, listen
from fedshow_server.services.releases import ReleaseServicer
from fedshow_server.services.streams import OpenStreams
from fedshow_server.settings import ServerSettings
from fedshow_server.signing import Signer, open_signer
from fedshow_server.store import Store, open_store
from fedshow_server.superlink import SuperLink
from fedshow_server.web.doors import HttpDoors
from fedshow_server.web.files import FileSender
from fedshow_server.web.hub import hub_routes
from fedshow_server.web.releases import release_routes

log = logging.getLogger(__name__)

OnReady = Callable[[Facts], None]
T = TypeVar("T")


@dataclass
class Ground:
    """What the server stands on, made before anything runs."""

    settings: ServerSettings
    folder: DataFolder
    port: socket.socket
    certificates: Certificates
    store: Store
    presence: Presence
    entrance: Entrance
    streams: OpenStreams
    listener: Listener
    facts: Facts


async def serve(settings: ServerSettings, on_ready: OnReady) -> None:
    """Runs until SIGTERM or SIGINT; tells `on_ready` once when calls are answered.

    Raises InvalidInput when an address, the base or the data folder cannot be used.
    """
    if settings.ray is not None:
        check_address(settings.ray)
    folder = DataFolder(settings.data)
    folder.make()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    with folder.claimed(), _ground(settings, folder) as ground:
        card = await _unless(stop, described_base(folder, settings.base))
        if card is not None:
            folder.keep_facts(ground.facts)
            await _run(ground, card, stop, on_ready)


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """What `work` gives; None, and the work is cancelled, when somebody says stop before."""
    working = asyncio.create_task(work)
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        await _end((working, stopping))


@contextmanager
def _ground(settings: ServerSettings, folder: DataFolder) -> Iterator[Ground]:
    certificates = prepare_certificates(folder.ca, settings.name)
    with hold_port(settings.host, settings.port) as port:
        store = open_store(settings.database_url, folder.blobs)
        try:
            presence, streams = Presence(), OpenStreams(store.members)
            entrance = Entrance(store.members, presence.saw)
            listener = listen(settings.grpc_address, certificates, Doors(entrance, streams))
            facts = _facts(settings, port.getsockname()[1], listener.port)
            yield Ground(
                settings,
                folder,
                port,
                certificates,
                store,
                presence,
                entrance,
                streams,
                listener,
                facts,
            )
        finally:
            store.close()


def _facts(settings: ServerSettings, port: int, grpc_port: int) -> Facts:
    return Facts(
        name=settings.name,
        address=f"{settings.name}:{port}",
        grpc=f"{settings.name}:{grpc_port}",
        database=settings.database_url,
    )


async def _run(ground: Ground, card: BaseCard, stop: asyncio.Event, on_ready: OnReady) -> None:
    store, listener, settings = ground.store, ground.listener, ground.settings
    superlink = SuperLink(ground.folder, ground.certificates)
    collector, news = Collector(store, superlink, ground.presence), News(store)
    signer = open_signer(ground.folder.ca)
    await asyncio.to_thread(sign_earlier, store, signer)
    enrolment = Enrolment(store.members, superlink, ground.facts, card, signer.public_key)
    add_services(
        listener,
        ConceptServicer(store.concepts, card, settings.max_concept_bytes, collector.wake),
        ReleaseServicer(store, news, signer),
    )
    app = _application(ground, superlink, enrolment, signer)
    edge = HttpsServer(app, ground.certificates)
    fusion = FusionQueue(store, ground.folder, settings.quiet_seconds, settings.ray)
    async with AsyncExitStack() as stack:
        tasks = [
            asyncio.create_task(work, name=name)
            for name, work in {
                "superlink": superlink.supervise(),
                "edge": edge.serve([ground.port]),
                "news": news.watch_forever(),
                "collector": collector.collect_forever(),
                "fusion": fusion.fuse_forever(),
                "revocations": enrolment.follow_revocations(),
                "streams": ground.streams.cut_revoked_forever(),
                "ready": _announce(ground, superlink, edge, on_ready),
                "stop": stop.wait(),
            }.items()
        ]
        stack.push_async_callback(_end, tasks)
        stack.push_async_callback(listener.stop)
        await listener.start()
        await _first_end(tasks)
        log.info("stopping")


def _application(
    ground: Ground, superlink: SuperLink, enrolment: Enrolment, signer: Signer
) -> FastAPI:
    """What the HTTPS port serves."""
    releases, sender = ground.store.releases, FileSender(ground.store.blobs, ground.streams)
    routers = (release_routes(releases, sender, signer), hub_routes(releases, sender))
    ca_pem = ground.certificates.ca_pem
    return make_edge(superlink, enrolment, ca_pem, HttpDoors(ground.entrance), routers)


async def _announce(
    ground: Ground, superlink: SuperLink, edge: HttpsServer, on_ready: OnReady
) -> None:
    """Says that all is up, then keeps the health service's word true."""
    await superlink.healthy.wait()
    while not edge.started:
        await asyncio.sleep(0.05)
    await ground.listener.serving(True)
    on_ready(ground.facts)
    said = True
    while True:
        if superlink.healthy.is_set() != said:
            said = not said
            await ground.listener.serving(said)
        await asyncio.sleep(1)


async def _first_end(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Returns when somebody says stop; raises what ended any other task."""
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


async def _end(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
