"""What `fedshow client status` shows: read from this machine only, so it answers at once."""

import time
from pathlib import Path
from typing import Any

from fedshow.commands.output import print_table
from fedshow.transfer.servers import KnownServer, known_servers
from fedshow_client.daemon.progress import read_progress
from fedshow_client.home import Home
from fedshow_client.queue import Job, JobState, Queue

WAITING = (JobState.QUEUED, JobState.TUNED, JobState.SUBMITTED)
NOT_JOINED = "waits until server {!r} is joined again"


def read_status(folder: Path) -> dict[str, Any]:
    """Daemon, servers and concepts as plain values."""
    home = Home(folder)
    servers = known_servers(folder)
    joined = {server.name for server in servers}
    with Queue(home.database) as queue:
        return {
            "home": str(folder),
            "daemon": home.daemon_pid(),
            "servers": [_server(server, queue) for server in servers],
            "concepts": [_concept(job, queue, home, joined) for job in queue.jobs()],
        }


def show(found: dict[str, Any]) -> None:
    """The same for people, on stdout."""
    running = f"runs ({found['daemon']})" if found["daemon"] else "does not run"
    print(f"daemon {running}; home {found['home']}")
    for server in found["servers"]:
        print(f"server {server['name']} at {server['address']}: {_contact(server)}")
        if release := server["release"]:
            print(f"  newest release {release['id']}: {', '.join(release['concepts'])}")
    if found["concepts"]:
        rows = ((c["name"], c["class"], c["server"], _state(c)) for c in found["concepts"])
        print_table(("concept", "class", "server", "state"), rows)


def _server(server: KnownServer, queue: Queue) -> dict[str, Any]:
    seen = queue.servers_seen().get(server.name)
    newest = next(iter(queue.releases_seen(server.name)), None)
    return {
        "name": server.name,
        "address": server.address,
        "node": server.node,
        "base": server.base.name,
        "reached": seen.reached if seen else 0.0,
        "trouble": seen.trouble if seen else "",
        "release": newest and {"id": newest.release, "concepts": newest.concepts.split()},
    }


def _concept(job: Job, queue: Queue, home: Home, joined: set[str]) -> dict[str, Any]:
    tuning = queue.leased(job)
    stranded = job.state in WAITING and job.server not in joined and not tuning
    progress = read_progress(home.job(job.id))
    return {
        "name": job.name,
        "class": job.class_word,
        "server": job.server,
        "state": "tuning" if tuning else job.state.value,
        "step": progress.step,
        "steps": progress.steps,
        "reason": NOT_JOINED.format(job.server) if stranded else job.reason,
        "sha256": job.sha256,
        "size_bytes": job.size_bytes,
    }


def _contact(server: dict[str, Any]) -> str:
    if server["trouble"]:
        return str(server["trouble"])
    if not server["reached"]:
        return "not reached yet"
    return f"reached {time.time() - server['reached']:.0f} s ago"


def _state(concept: dict[str, Any]) -> str:
    found = str(concept["state"])
    if found in ("tuning", JobState.QUEUED) and concept["steps"]:
        found += f" {concept['step']}/{concept['steps']}"
    return f"{found}: {concept['reason']}" if concept["reason"] else found
