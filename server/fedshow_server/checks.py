"""What `fedshow doctor` looks at of a server on this machine: settings, ports, keys, database, room."""

from collections.abc import Iterator
from pathlib import Path

from fedshow.doctor.authority import expiry
from fedshow.doctor.finding import Check, Finding, Question, fine, problem, warning
from fedshow.doctor.room import in_gib, room_in
from fedshow.errors import InvalidInput
from fedshow.ports import taken
from fedshow_server.folder import DataFolder
from fedshow_server.settings import ServerSettings, load_settings

PRIVATE = 0o077
"""Nobody else may do anything with a key."""


def check_server(question: Question) -> Iterator[Finding]:
    """The server of the folder asked about, or of the default one when there is one."""
    try:
        settings = load_settings(data=question.data)
    except InvalidInput as error:
        yield problem("server settings", str(error), "correct it there")
        return
    if question.data is None and not settings.data.exists():
        yield fine("server", f"none here ({settings.data} is not there)")
        yield from _ports(settings, running=False, asked=False)
        return
    folder = DataFolder(settings.data)
    running = folder.is_claimed()
    yield _settings(settings)
    yield from _ports(settings, running=running, asked=question.data is not None)
    if not folder.path.exists():
        first = f"fedshow server run --data {folder.path}"
        yield warning("server", f"{folder.path} is not there yet", first)
        return
    yield _server(folder, running)
    yield from _room(settings)
    yield from _certificates(folder)
    yield from _database(folder)


def _settings(settings: ServerSettings) -> Finding:
    chosen = settings.model_fields_set - {"data"}
    listed = ", ".join(sorted(chosen)) or "defaults"
    return fine("server settings", f"for {settings.data}: {listed}", chosen=sorted(chosen))


def _ports(settings: ServerSettings, *, running: bool, asked: bool) -> Iterator[Finding]:
    for what, address in (("HTTPS", settings.listen), ("gRPC", settings.grpc_address)):
        host, _, number = address.rpartition(":")
        port = int(number)
        about = f"port {port}"
        if not port:
            continue
        if (why := taken(host, port)) is None:
            yield fine(about, f"free for a server's {what}", port=port)
        elif running:
            yield fine(about, f"{what} of the server that runs here", port=port)
        else:
            option = "--listen" if what == "HTTPS" else "--grpc-listen"
            advice = f"take another: fedshow server run {option} {host}:{port + 1000}"
            make = problem if asked else warning
            yield make(about, f"of a server's {what} {why}", advice, port=port)


def _server(folder: DataFolder, running: bool) -> Finding:
    facts = {"folder": str(folder.path), "running": running}
    if running:
        return fine("server", f"runs on {folder.path}", **facts)
    advice = f"fedshow server run --data {folder.path}"
    return warning("server", f"does not run on {folder.path}", advice, **facts)


def _room(settings: ServerSettings) -> Iterator[Finding]:
    for folder in settings.growing_folders:
        if folder == settings.data:
            yield _room_in("disk of the server", folder, settings.free_disk_bytes)
        elif settings.data not in folder.parents:
            yield _room_in("disk of the server's content", folder, settings.free_disk_bytes)


def _room_in(about: str, folder: Path, floor_bytes: int) -> Finding:
    found = room_in(about, folder, "give the folder more room")
    if found.facts["free_bytes"] >= floor_bytes:
        return found
    says = f"{found.says}: less than free_disk_bytes ({in_gib(floor_bytes)}), no concept is taken"
    return problem(about, says, "free some, or lower free_disk_bytes", **found.facts)


def _certificates(folder: DataFolder) -> Iterator[Finding]:
    authority, server = folder.certificates.ca, folder.certificates.certificate
    if not authority.exists():
        first = f"fedshow server run --data {folder.path}"
        yield warning("server authority", f"{authority} is not there yet", first)
        return
    restore = "nothing renews it: every node has to join a new one"
    yield expiry("server authority", authority.read_bytes(), restore)
    restart = f"restart it, which renews it: fedshow server run --data {folder.path}"
    if server.exists():
        yield expiry("server certificate", server.read_bytes(), restart)
    for key in sorted(folder.ca.glob("*.key")):
        yield from _private(key)


def _private(key: Path) -> Iterator[Finding]:
    if key.stat().st_mode & PRIVATE:
        says = f"others on this machine may read {key}"
        yield problem("server keys", says, f"chmod 600 {key}")


def _database(folder: DataFolder) -> Iterator[Finding]:
    """Looked at, never changed: tables are brought up to date when a server starts."""
    from fedshow_server.store.looking import look_at_database
    from fedshow_server.store.migrating import REVISION

    about = "server database"
    try:
        url = folder.facts().database
    except InvalidInput as error:  # no server has run here yet
        yield warning(about, str(error), f"fedshow server run --data {folder.path}")
        return
    seen = look_at_database(url)
    told = {"version": seen.revision, "newest": REVISION}
    if seen.problem:
        yield problem(about, seen.problem, seen.advice, **told)
    elif seen.revision is None or seen.revision < REVISION:
        backup = f"first a backup: fedshow server backup FILE --data {folder.path}"
        says = f"version {seen.revision}, this fedshow's is {REVISION}: the next start changes it"
        yield warning(about, says, backup, **told)
    elif seen.revision > REVISION:
        says = f"version {seen.revision}, this fedshow knows up to {REVISION}"
        yield problem(about, says, "pip install --upgrade 'fedshow[server]'", **told)
    else:
        yield fine(about, f"answers, version {REVISION}, the newest", **told)


CHECKS: dict[str, Check] = {"server": check_server}
