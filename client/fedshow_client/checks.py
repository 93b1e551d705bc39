"""What `fedshow doctor` looks at on a user's machine: settings, daemon, queue, the page's port."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

from fedshow.doctor.finding import Check, Finding, Question, fine, problem, warning
from fedshow.errors import InvalidInput
from fedshow.ports import taken
from fedshow.transfer.servers import known_servers
from fedshow_client.home import Home
from fedshow_client.page.entering import HOST
from fedshow_client.settings import TOML_NAME, ClientSettings, load_settings


def check_client(question: Question) -> Iterator[Finding]:
    """The client's settings, its daemon and what that serves."""
    home = Home(question.home)
    daemon = home.daemon_pid()
    try:
        settings = load_settings()
    except InvalidInput as error:
        file = question.home / TOML_NAME
        yield problem("client settings", str(error), f"correct it: {file}", file=str(file))
    else:
        yield _settings(home, settings)
        yield _page(settings.page_port, daemon)
    yield _daemon(home, daemon)
    if home.database.exists():
        yield _queue(home)


def _settings(home: Home, settings: ClientSettings) -> Finding:
    file = home.folder / TOML_NAME
    chosen = settings.model_dump(mode="json", exclude_unset=True)
    listed = ", ".join(f"{name} = {value}" for name, value in chosen.items())
    where = str(file) if file.exists() else "no client.toml"
    return fine("client settings", f"{where}: {listed or 'defaults'}", chosen=chosen)


def _daemon(home: Home, pid: int | None) -> Finding:
    if pid is not None:
        return fine("client daemon", f"runs, process {pid}", process=pid)
    if any(server.role.contributes for server in known_servers(home.folder)):
        says = "does not run: nothing is tuned or handed over"
        return warning("client daemon", says, "fedshow client run")
    return fine("client daemon", "does not run; nobody waits for it")


def _page(port: int, daemon: int | None) -> Finding:
    about = f"port {port}"
    why = taken(HOST, port)
    if why is None:
        return fine(about, "free for the client's page", port=port)
    if daemon is not None:
        return fine(about, f"{why}: the client's page, or the daemon has taken another", port=port)
    advice = f"nothing: the page takes another; or set page_port in {TOML_NAME}"
    return warning(about, f"of the client's page {why}", advice, port=port)


def _queue(home: Home) -> Finding:
    """Read only: whatever is wrong with it is not made worse."""
    from fedshow_client.queue.schema import VERSION

    about, file = "client queue", home.database
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as database:
            (found,) = database.execute("PRAGMA user_version").fetchone()
            (whole,) = database.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        whole, found = str(error), 0
    facts = {"file": str(file), "version": found}
    if whole != "ok":
        advice = f"move it away, it is made anew: mv {file} {file}.broken"
        return problem(about, f"{file} is damaged: {whole}", advice, **facts)
    if found > VERSION:
        says = f"{file} is of version {found}, this fedshow knows up to {VERSION}"
        return problem(about, says, "pip install --upgrade fedshow", **facts)
    return fine(about, f"{file} is whole, version {found}", **facts)


CHECKS: dict[str, Check] = {"client": check_client}
