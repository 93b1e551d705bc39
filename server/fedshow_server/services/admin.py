"""AdminService: what the server's command line does, for nodes of its owner."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

from fedshow.v1 import admin_pb2 as pb
from fedshow.v1.admin_pb2_grpc import AdminServiceServicer
from fedshow_server.services.administration import Administration


def admin_servicer(administration: Administration) -> AdminServiceServicer:
    """Every call of the contract, done by `administration` in a thread."""
    methods = pb.DESCRIPTOR.services_by_name["AdminService"].methods
    calls = {method.name: _in_thread(getattr(administration, method.name)) for method in methods}
    return cast(AdminServiceServicer, SimpleNamespace(**calls))


def _in_thread(work: Callable[[Any], Any]) -> Callable[[Any, Any], Awaitable[Any]]:
    async def call(request: Any, _context: Any) -> Any:
        return await asyncio.to_thread(work, request)

    return call
