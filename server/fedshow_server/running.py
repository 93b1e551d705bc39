"""The whole server in one process: ports, services, and the work that goes on behind them."""

import asyncio
import logging
import signal
import socket
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from fastapi import APIRouter

from fedshow.families.card import BaseCard
from fedshow.web.headers import SafeHeaders
from fedshow_server.activity import Activity
from fedshow_server.describing import described_base
from fedshow_server.drawing.queue import DrawingQueue
from fedshow_server.flower.collecting import Collector
from fedshow_server.flower.presence import Presence
from fedshow_server.flower.superlink import SuperLink
from fedshow_server.folder import DataFolder, Facts
from fedshow_server.lasting import lasting
from fedshow_server.members.administration import Administration
from fedshow_server.members.enrolment import Enrolment
from fedshow_server.members.guard import Guard
from fedshow_server.releasing.news import News
from fedshow_server.releasing.publishing import sign_earlier
from fedshow_server.releasing.queue import FusionQueue
from fedshow_server.releasing.ray_cluster import check_address
from fedshow_server.releasing.signing import Signer, open_signer
from fedshow_server.samples.queue import SampleQueue
from fedshow_server.samples.scorer import ScorerChoice
from fedshow_server.services.admin import admin_servicer
from fedshow_server.services.concepts import ConceptServicer
from fedshow_server.services.doors import Doors, Entrance
from fedshow_server.services.listening import Listener, add_services, listen
from fedshow_server.services.releases import ReleaseServicer
from fedshow_server.services.streams import OpenStreams
from fedshow_server.settings import ServerSettings
from fedshow_server.store import Store, open_store
from fedshow_server.upkeep.certificates import Certificates, prepare_certificates
from fedshow_server.upkeep.disk import Disk
from fedshow_server.upkeep.health import FINE, Health
from fedshow_server.upkeep.metrics import Metrics
from fedshow_server.upkeep.renewing import Renewal
from fedshow_server.web.concepts import concept_routes
from fedshow_server.web.doors import HttpDoors
from fedshow_server.web.drawings import drawing_routes
from fedshow_server.web.edge import make_edge
from fedshow_server.web.feed import Feed
from fedshow_server.web.files import FileSender
from fedshow_server.web.https_port import HttpsServer, hold_port
from fedshow_server.web.hub import hub_routes
from fedshow_server.web.pages.routes import gallery_routes
from fedshow_server.web.pages.showing import Gallery
from fedshow_server.web.releases import release_routes
from fedshow_server.web.sessions import SignedIn
from fedshow_server.web.tracing import Traced
from fedshow_server.web.watching import health_routes, metrics_routes

log = logging.getLogger(__name__)

OnReady = Callable[[Facts], None]
Stop = Callable[[], Awaitable[None]]
"""Sends everybody away who only waits."""

T = TypeVar("T")


@dataclass
class Ground:
    """What the server stands on, made before anything runs."""

    settings: ServerSettings
    folder: DataFolder
    port: socket.socket
    certificates: Certificates
    store: Store
    disk: Disk
    metrics: Metrics
    presence: Presence
    guard: Guard
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
        store = open_store(settings.database_url, settings.store_url)
        try:
            store.blobs.check()
            presence, streams = Presence(), OpenStreams(store.members)
            disk = Disk(settings.data, settings.free_disk_bytes)
            metrics = Metrics(store, lambda: disk.free_bytes)
            guard = Guard(settings, store.audit)
            entrance = Entrance(store.members, presence.saw, guard)
            doors = Doors(entrance, streams)
            listener = listen(settings.grpc_address, certificates, doors, metrics.answered)
            yield Ground(
                settings=settings,
                folder=folder,
                port=port,
                certificates=certificates,
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
        finally:
            store.close()


def _facts(settings: ServerSettings, port: int, grpc_port: int) -> Facts:
    return Facts(
        name=settings.name,
        address=f"{settings.name}:{port}",
        grpc=f"{settings.name}:{grpc_port}",
        database=settings.database_url,
        store=settings.store,
    )


async def _run(ground: Ground, card: BaseCard, stop: asyncio.Event, on_ready: OnReady) -> None:
    store, listener, settings = ground.store, ground.listener, ground.settings
    superlink = SuperLink(ground.folder, ground.certificates)
    ground.metrics.superlink_starts.set_function(lambda: superlink.generation)
    collector, news = Collector(store, superlink, ground.presence), News(store)
    signer = open_signer(ground.folder.ca)
    await asyncio.to_thread(sign_earlier, store, signer)
    enrolment = Enrolment(
        store.members, superlink, ground.facts, card, signer.public_key, ground.guard
    )
    fused = ground.metrics.fused
    card_lock = asyncio.Lock()
    fusion = FusionQueue(store, ground.folder, settings, card_lock, fused)
    drawing = DrawingQueue(store, ground.folder, settings, card_lock)
    sampling = SampleQueue(
        store,
        ground.folder,
        settings,
        ScorerChoice.of(card, settings.scorer),
        card_lock,
        lambda: fusion.wants_card or store.drawings.waiting(),
    )
    health = _health(ground, superlink, fusion)
    add_services(
        listener,
        ConceptServicer(store.concepts, card, settings, ground.disk, collector.wake),
        ReleaseServicer(store, news, signer),
        admin_servicer(Administration(store, ground.folder)),
    )
    activity = Activity(store, ground.folder, ground.presence, fusion)
    feed = Feed(activity, store.history, ground.streams)
    sender, gallery = FileSender(store.blobs, ground.streams), Gallery(card.name)
    routers = (
        *_routers(ground, signer, health, sender),
        concept_routes(store.showcase, card),
        drawing_routes(store, card, settings, ground.folder.drawings, drawing.wake),
        *gallery_routes(
            gallery, store, ground.entrance, card, settings, sender, signer.public_key, feed
        ),
    )
    edge = _edge(ground, superlink, enrolment, routers, gallery)
    renewed = (edge.renew, listener.renew, partial(superlink.restart_because, "new certificate"))
    async with AsyncExitStack() as stack:
        tasks = [
            asyncio.create_task(work, name=name)
            for name, work in {
                "superlink": superlink.supervise(),
                "edge": edge.serve([ground.port]),
                "news": lasting(news.watch_forever),
                "collector": lasting(collector.collect_forever),
                "fusion": lasting(fusion.fuse_forever),
                "drawing": lasting(drawing.draw_forever),
                "sampling": lasting(sampling.sample_forever),
                "revocations": lasting(enrolment.follow_revocations),
                "streams": lasting(ground.streams.cut_revoked_forever),
                "renewal": Renewal(ground.certificates, settings.name, renewed).renew_forever(),
                "ready": _announce(ground, health, superlink, edge, on_ready),
                "stop": stop.wait(),
            }.items()
        ]
        stack.push_async_callback(_end, tasks)
        stack.push_async_callback(_drain, ground, health, (news.stop, feed.stop), edge)
        await listener.start()
        await _first_end(tasks)


def _health(ground: Ground, superlink: SuperLink, fusion: FusionQueue) -> Health:
    database = ground.store.database
    return Health(
        {
            "database": lambda: asyncio.to_thread(database.problem),
            "superlink": lambda: "" if superlink.healthy.is_set() else "is not up",
            "disk": ground.disk.problem,
            "fusion": lambda: fusion.problem,
        }
    )


def _routers(
    ground: Ground, signer: Signer, health: Health, sender: FileSender
) -> tuple[APIRouter, ...]:
    """What the HTTPS port serves beside joining, Flower's calls and what members see of concepts."""
    return (
        health_routes(health),
        metrics_routes(ground.metrics.text, ground.settings.metrics_token),
        release_routes(ground.store, sender, signer),
        hub_routes(ground.store.releases, sender),
    )


def _edge(
    ground: Ground,
    superlink: SuperLink,
    enrolment: Enrolment,
    routers: tuple[APIRouter, ...],
    gallery: Gallery,
) -> HttpsServer:
    """The HTTPS port with everything behind it, pages too."""
    entrance = ground.entrance
    app = make_edge(
        superlink,
        enrolment,
        ground.certificates.ca_pem,
        HttpDoors(entrance, SignedIn(entrance, ground.store.sessions)),
        routers,
        gallery.refuse,
    )
    served = Traced(SafeHeaders(app), ground.metrics.answered)
    return HttpsServer(served, ground.certificates, ground.settings.drain_seconds)


async def _announce(
    ground: Ground, health: Health, superlink: SuperLink, edge: HttpsServer, on_ready: OnReady
) -> None:
    """Says that all is up, then keeps the health service's word true."""
    await superlink.healthy.wait()
    while not edge.started:
        await asyncio.sleep(0.05)
    health.server_is(FINE)
    await health.look()
    await ground.listener.tell(health.serves)
    on_ready(ground.facts)
    await health.watch_forever(partial(ground.listener.tell, health.serves))


async def _drain(
    ground: Ground, health: Health, waiting: Sequence[Stop], edge: HttpsServer
) -> None:
    """No new calls; those that run get their time; whoever only waits is sent away."""
    seconds = ground.settings.drain_seconds
    log.info("stopping: calls that run have %d s", seconds)
    health.server_is("is stopping")
    await asyncio.gather(*(send_away() for send_away in waiting))
    await asyncio.gather(ground.listener.stop(seconds), edge.drain())


async def _first_end(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Returns when somebody says stop; raises what ended any other task."""
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


async def _end(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
