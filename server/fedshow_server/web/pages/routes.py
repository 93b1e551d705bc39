"""All routes of the gallery."""

from fastapi import APIRouter

from fedshow.families.card import BaseCard
from fedshow.web.assets import asset_routes
from fedshow_server.services.doors import Entrance
from fedshow_server.settings import ServerSettings
from fedshow_server.store import Store
from fedshow_server.web.feed import Feed
from fedshow_server.web.files import FileSender
from fedshow_server.web.pages.concepts import concept_pages
from fedshow_server.web.pages.live import live_pages
from fedshow_server.web.pages.releases import release_pages
from fedshow_server.web.pages.showing import Gallery
from fedshow_server.web.pages.signing_in import sign_in_routes
from fedshow_server.web.pages.studio import studio_pages


def gallery_routes(
    gallery: Gallery,
    store: Store,
    entrance: Entrance,
    card: BaseCard,
    settings: ServerSettings,
    sender: FileSender,
    key: str,
    feed: Feed,
) -> tuple[APIRouter, ...]:
    """A router for each kind of page; `web/doors.py` says who may open them."""
    return (
        asset_routes(gallery.assets),
        sign_in_routes(gallery, entrance, store.members, store.sessions, settings.session_hours),
        concept_pages(gallery, store.showcase, store.concepts),
        release_pages(gallery, store, sender, settings.name, key),
        studio_pages(gallery, store.releases, store.showcase, card, settings),
        live_pages(gallery, feed),
    )
