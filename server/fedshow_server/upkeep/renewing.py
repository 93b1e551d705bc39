"""Certificates are renewed while the server runs: nobody restarts it for a year."""

import asyncio
import logging
import signal
from collections.abc import Callable
from contextlib import suppress

from fedshow_server.layout import Certificates
from fedshow_server.upkeep.certificates import prepare_certificates

log = logging.getLogger(__name__)

LOOK_SECONDS = 3600.0


class Renewal:
    """Looks once an hour, and at once when told to (SIGHUP), whether a certificate is due."""

    def __init__(
        self, certificates: Certificates, name: str, takers: tuple[Callable[[], None], ...]
    ) -> None:
        """`takers` are told when there is a new one."""
        self._certificates = certificates
        self._name = name
        self._takers = takers
        self._told = asyncio.Event()

    async def renew_forever(self) -> None:
        """Runs until cancelled."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._told.set)
        in_use = self._certificates.certificate.read_bytes()
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._told.wait(), LOOK_SECONDS)
            self._told.clear()
            await asyncio.to_thread(prepare_certificates, self._certificates, self._name)
            if (now := self._certificates.certificate.read_bytes()) != in_use:
                in_use = now
                log.info("the server's certificate was renewed")
                for take in self._takers:
                    take()
