"""What a server does: collects, fuses, draws, tells; put together here, started by `running`."""

import asyncio
from dataclasses import dataclass

from fedshow.families.card import BaseCard
from fedshow_server.activity import Activity
from fedshow_server.drawing.queue import DrawingQueue
from fedshow_server.flower.collecting import Collector
from fedshow_server.flower.superlink import SuperLink
from fedshow_server.ground import Ground
from fedshow_server.members.enrolment import Enrolment
from fedshow_server.releasing.news import News
from fedshow_server.releasing.queue import FusionQueue
from fedshow_server.releasing.signing import Signer
from fedshow_server.samples.queue import SampleQueue
from fedshow_server.samples.scorer import ScorerChoice
from fedshow_server.services.admin import admin_servicer
from fedshow_server.services.administration import Administration
from fedshow_server.services.concepts import ConceptServicer
from fedshow_server.services.listening import add_services
from fedshow_server.services.releases import ReleaseServicer
from fedshow_server.upkeep.health import Health
from fedshow_server.web.feed import Feed


@dataclass
class Work:
    """Everything that goes on for as long as the server runs."""

    card: BaseCard
    signer: Signer
    superlink: SuperLink
    collector: Collector
    news: News
    enrolment: Enrolment
    fusion: FusionQueue
    drawing: DrawingQueue
    sampling: SampleQueue
    health: Health
    feed: Feed


def work_on(ground: Ground, card: BaseCard, signer: Signer) -> Work:
    """The work of a server with this base; nothing of it runs yet."""
    store, folder, settings = ground.store, ground.folder, ground.settings
    superlink = SuperLink(folder, folder.certificates)
    ground.metrics.superlink_starts.set_function(lambda: superlink.generation)
    card_lock = asyncio.Lock()  # fusing, drawing and sampling take turns on the card
    fusion = FusionQueue(store, folder, settings, card_lock, ground.metrics.fused)
    return Work(
        card=card,
        signer=signer,
        superlink=superlink,
        collector=Collector(store, superlink, ground.presence),
        news=News(store),
        enrolment=_enrolment(ground, superlink, card, signer),
        fusion=fusion,
        drawing=DrawingQueue(store, folder, settings, card_lock),
        sampling=_sampling(ground, card, card_lock, fusion),
        health=_health(ground, superlink, fusion),
        feed=_feed(ground, fusion),
    )


def serve_grpc(ground: Ground, work: Work) -> None:
    """Gives the gRPC port its services."""
    store, disk = ground.store, ground.disk
    add_services(
        ground.listener,
        ConceptServicer(store.concepts, work.card, ground.settings, disk, work.collector.wake),
        ReleaseServicer(store, work.news, work.signer),
        admin_servicer(Administration(store, ground.folder)),
    )


def _enrolment(ground: Ground, superlink: SuperLink, card: BaseCard, signer: Signer) -> Enrolment:
    members, facts = ground.store.members, ground.facts
    return Enrolment(members, superlink, facts, card, signer.public_key, ground.guard)


def _sampling(
    ground: Ground, card: BaseCard, card_lock: asyncio.Lock, fusion: FusionQueue
) -> SampleQueue:
    """Makes room for whoever else wants the card."""
    store, settings = ground.store, ground.settings
    return SampleQueue(
        store,
        ground.folder,
        settings,
        ScorerChoice.of(card, settings.scorer),
        card_lock,
        lambda: fusion.wants_card or store.drawings.waiting(),
    )


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


def _feed(ground: Ground, fusion: FusionQueue) -> Feed:
    activity = Activity(ground.store, ground.folder, ground.presence, fusion)
    return Feed(activity, ground.store.history, ground.streams)
