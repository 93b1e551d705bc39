"""Everything that the HTTPS port serves, behind one door: joining, Flower's calls, releases, pages."""

from collections.abc import Sequence

from fastapi import APIRouter

from fedshow.web.headers import SafeHeaders
from fedshow_server.ground import Ground
from fedshow_server.web.concepts import concept_routes
from fedshow_server.web.doors import HttpDoors
from fedshow_server.web.drawings import drawing_routes
from fedshow_server.web.edge import make_edge
from fedshow_server.web.files import FileSender
from fedshow_server.web.https_port import HttpsServer
from fedshow_server.web.hub import hub_routes
from fedshow_server.web.pages.routes import gallery_routes
from fedshow_server.web.pages.showing import Gallery
from fedshow_server.web.releases import release_routes
from fedshow_server.web.sessions import SignedIn
from fedshow_server.web.tracing import Traced
from fedshow_server.web.watching import health_routes, metrics_routes
from fedshow_server.work import Work


def https_server(ground: Ground, work: Work) -> HttpsServer:
    """The HTTPS port with all of it; it does not serve yet."""
    entrance, gallery = ground.entrance, Gallery(work.card.name)
    app = make_edge(
        work.superlink,
        work.enrolment,
        ground.folder.certificates.ca_pem,
        HttpDoors(entrance, SignedIn(entrance, ground.store.sessions)),
        _routers(ground, work, gallery),
        gallery.refuse,
    )
    served = Traced(SafeHeaders(app), ground.metrics.answered)
    return HttpsServer(served, ground.folder.certificates, ground.settings.drain_seconds)


def _routers(ground: Ground, work: Work, gallery: Gallery) -> Sequence[APIRouter]:
    """All beside joining and Flower's calls."""
    store, settings, card = ground.store, ground.settings, work.card
    sender, key = FileSender(store.blobs, ground.streams), work.signer.public_key
    return (
        health_routes(work.health),
        metrics_routes(ground.metrics.text, settings.metrics_token),
        release_routes(store, sender, work.signer),
        hub_routes(store.releases, sender),
        concept_routes(store.showcase, card),
        drawing_routes(store, card, settings, ground.folder.drawings, work.drawing.wake),
        *gallery_routes(gallery, store, ground.entrance, card, settings, sender, key, work.feed),
    )
