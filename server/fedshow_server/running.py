"""The whole server in one process: what it stands on, what it does, and how it starts and ends."""

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, TypeVar

from fedshow.families.card import BaseCard
from fedshow_server.describing import described_base
from fedshow_server.folder import DataFolder, Facts
from fedshow_server.fusion.ray_cluster import check_address
from fedshow_server.ground import Ground, ground_of
from fedshow_server.lasting import lasting
from fedshow_server.releasing.publishing import sign_earlier
from fedshow_server.releasing.signing import open_signer
from fedshow_server.settings import ServerSettings
from fedshow_server.upkeep.health import FINE
from fedshow_server.upkeep.renewing import Renewal
from fedshow_server.web.front import https_server
from fedshow_server.web.https_port import HttpsServer
from fedshow_server.work import Work, serve_grpc, work_on

log = logging.getLogger(__name__)

OnReady = Callable[[Facts], None]
T = TypeVar("T")


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
    with folder.claimed(), ground_of(settings, folder) as ground:
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


async def _run(ground: Ground, card: BaseCard, stop: asyncio.Event, on_ready: OnReady) -> None:
    signer = open_signer(ground.folder.ca)
    await asyncio.to_thread(sign_earlier, ground.store, signer)
    work = work_on(ground, card, signer)
    serve_grpc(ground, work)
    edge = https_server(ground, work)
    async with AsyncExitStack() as stack:
        works = _works(ground, work, edge) | {
            "ready": _announce(ground, work, edge, on_ready),
            "stop": stop.wait(),
        }
        tasks = [asyncio.create_task(each, name=name) for name, each in works.items()]
        stack.push_async_callback(_end, tasks)
        stack.push_async_callback(_drain, ground, work, edge)
        await ground.listener.start()
        await _first_end(tasks)


def _works(ground: Ground, work: Work, edge: HttpsServer) -> dict[str, Coroutine[Any, Any, Any]]:
    """All that goes on at the same time, by name; when one of them ends, the server does."""
    certificates, name = ground.folder.certificates, ground.settings.name
    renew_flowers = partial(work.superlink.restart_because, "new certificate")
    renewal = Renewal(certificates, name, (edge.renew, ground.listener.renew, renew_flowers))
    return {
        "superlink": work.superlink.supervise(),
        "edge": edge.serve([ground.port]),
        "news": lasting(work.news.watch_forever),
        "collector": lasting(work.collector.collect_forever),
        "fusion": lasting(work.fusion.fuse_forever),
        "drawing": lasting(work.drawing.draw_forever),
        "sampling": lasting(work.sampling.sample_forever),
        "members": lasting(work.enrolment.follow_members),
        "streams": lasting(ground.streams.cut_revoked_forever),
        "renewal": renewal.renew_forever(),
    }


async def _announce(ground: Ground, work: Work, edge: HttpsServer, on_ready: OnReady) -> None:
    """Says that all is up, then keeps the health service's word true."""
    health = work.health
    await work.superlink.healthy.wait()
    while not edge.started:
        await asyncio.sleep(0.05)
    health.server_is(FINE)
    await health.look()
    await ground.listener.tell(health.serves)
    on_ready(ground.facts)
    await health.watch_forever(partial(ground.listener.tell, health.serves))


async def _drain(ground: Ground, work: Work, edge: HttpsServer) -> None:
    """No new calls; those that run get their time; whoever only waits is sent away."""
    seconds = ground.settings.drain_seconds
    log.info("stopping: calls that run have %d s", seconds)
    work.health.server_is("is stopping")
    await asyncio.gather(work.news.stop(), work.feed.stop())
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
