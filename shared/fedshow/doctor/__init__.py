"""`fedshow doctor`'s checks: what stands in the way of fedshow on this machine, and what to type next.

Every part of fedshow brings its own through the entry-point group `fedshow.checks`.
"""

from fedshow.doctor.base import check_bases
from fedshow.doctor.device import check_device
from fedshow.doctor.finding import Check
from fedshow.doctor.installed import check_installed
from fedshow.doctor.room import check_room
from fedshow.doctor.servers import check_servers

CHECKS: dict[str, Check] = {
    "installed": check_installed,
    "room": check_room,
    "servers": check_servers,
    "base": check_bases,
    "device": check_device,
}
"""This part's, in the order in which they are shown; the slow one comes last."""
