"""`fedshow client …`: the daemon on a user's GPU box, its queue and its state."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fedshow.commands.completing import DEVICE, METHODS, words
from fedshow.commands.options import JSON_OPTION, WAIT_OPTION
from fedshow.commands.output import print_json, say, say_waiting
from fedshow_client.commands import page as page_command
from fedshow_client.commands import queue as queue_commands
from fedshow_client.commands.options import NAME, SERVER_OPTION

if TYPE_CHECKING:
    from fedshow_client.tuning.data.folder import ImageFolder

group = typer.Typer(
    no_args_is_help=True,
    suggest_commands=False,  # click does
    help="Tune at home, share adapters only.\n\nExample: fedshow client status",
)


def register(app: typer.Typer) -> None:
    """Adds the group."""
    queue_commands.register(group)
    page_command.register(group)
    app.add_typer(group, name="client")


@group.command()
def join(
    code: str = typer.Argument(help="The one-time code that the server's owner sent."),
    name: str = typer.Option(None, "--as", help="What to call the server here."),
    base: str = typer.Option(None, "--base", help="Folder with the server's base, if not public."),
    wait: float = WAIT_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Joins a server: checks its fingerprint, makes a key here, registers it there.

    Example: fedshow client join fedshow-join:eyJhIjoi…
    """
    from fedshow.families.locating import origin
    from fedshow.transfer.backoff import Patience
    from fedshow.transfer.servers import home_folder
    from fedshow_client.joining import join as join_server

    patience = Patience(wait, say_waiting)
    server = join_server(code, home_folder(), patience, name=name, base_source=base)
    if as_json:
        found = {"server": server.name, "node": server.node, "role": server.role}
        found |= {"base": server.base.name}
        return print_json({**found, "base_source": server.base_source})
    print(f"joined {server.name} ({server.address}) as {server.node}, {server.role}")
    print(f"base {server.base.name}: {origin(server.base_source)}")
    if not server.role.contributes:
        return say(f"next: fedshow pull {server.name} -o model")
    return say("next: fedshow client add IMAGES --name N --class W, then fedshow client run")


@group.command()
def add(
    images: Path = typer.Argument(help="Folder with 4 to 20 images of one thing."),
    name: str = typer.Option(..., "--name", help="What to call it in prompts: <name>."),
    class_word: str = typer.Option(..., "--class", help="What kind of thing it is, in one word."),
    server: str = SERVER_OPTION,
    priority: int = typer.Option(
        0, help="Higher ones are tuned first; what is at work is finished."
    ),
    steps: int = typer.Option(None, min=1, help="Tuning steps; the recipe knows a good number."),
    seed: int = typer.Option(None, min=0, help="Makes tuning repeatable."),
    method: str = typer.Option(
        None,
        autocompletion=words(*METHODS),
        help="As fedshow tune has it; ed-lora is made for fusion.",
    ),
    rank: int = typer.Option(None, min=1, help="Rank of the adapters."),
    flip: bool = typer.Option(None, "--flip/--no-flip", help="Mirror half of the crops, or none."),
    changes: list[str] = typer.Option(
        [], "--set", metavar="KEY=VALUE", help="Any other number of the recipe; repeatable."
    ),
    max_leakage: float = typer.Option(
        None, min=0, max=1, help="Keep it here above this leakage; see docs/privacy.md."
    ),
    visible_to: list[str] = typer.Option(
        [], metavar="WHO", help="Who may have it: everybody, me, or a node's name; repeatable."
    ),
    as_json: bool = JSON_OPTION,
) -> None:
    """Queues a concept: the daemon tunes it here and hands over the adapter, never the images.

    Example: fedshow client add photos/anna --name anna --class woman
    """
    from fedshow_client.adding import Wishes, one_server, queue_concept
    from fedshow_client.home import Home
    from fedshow_client.queue import Queue
    from fedshow_client.settings import load_settings
    from fedshow_client.tuning.data.words import NOT_HERE

    home = Home(load_settings().home)
    target = one_server(server, home.folder)
    named = {"steps": steps, "seed": seed, "method": method, "rank": rank, "flip": flip}
    wishes = Wishes(named, changes, max_leakage, priority, visible_to)
    with Queue(home.database) as queue:
        queued = queue_concept(queue, target, images, name, class_word, wishes)
    _say_left_out(queued.images)
    if not queued.base_is_here:
        say(NOT_HERE.format(target.base_source))
    accepted = len(queued.images.accepted)
    if as_json:
        return print_json(
            {"job": queued.job.id, "name": name, "server": target.name, "images": accepted}
        )
    print(f"queued {name} for {target.name}: {accepted} images")
    if home.daemon_pid() is None:
        say("no daemon runs: start it with fedshow client run")
    return None


def _say_left_out(found: "ImageFolder") -> None:
    for candidate in found.candidates:
        if not candidate.accepted:
            say(f"left out: {candidate.path.name}: {candidate.reason}")


@group.command()
def run(
    device: str = typer.Option(None, "--device", autocompletion=DEVICE, help="auto, cpu or cuda."),
    keep_release: str = typer.Option(
        None,
        autocompletion=words("no", "diffusers", "lora"),
        help="Keep a copy of each server's newest release: no, diffusers or lora.",
    ),
    page: bool = typer.Option(
        None, "--page/--no-page", help="Serve fedshow client page, to this machine alone."
    ),
) -> None:
    """Runs the daemon in the foreground until Ctrl-C: tunes, hands over, watches for releases.

    Further settings: FEDSHOW_CLIENT_… in the environment, then client.toml in FEDSHOW_HOME.

    Example: fedshow client run --device cuda
    """
    import logging

    from fedshow.transfer.servers import known_servers
    from fedshow_client.daemon.service import Daemon
    from fedshow_client.settings import load_settings

    settings = load_settings(device=device, keep_release=keep_release, page=page)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    if not known_servers(settings.home):
        say("no server joined yet; waiting for fedshow client join")
    daemon = Daemon(settings)
    daemon.end_on_signals()
    daemon.run()


@group.command()
def status(
    as_json: bool = JSON_OPTION,
    schema: bool = typer.Option(False, "--schema", help="Print what --json means, and end."),
) -> None:
    """Shows daemon, servers, queue and concepts.

    Concepts that are to be tuned come first, in the order of their turns.

    Example: fedshow client status --json
    """
    from fedshow_client.settings import load_settings
    from fedshow_client.status import ClientStatus, read_status, show

    if schema:
        return print_json(ClientStatus.model_json_schema(mode="serialization"))
    found = read_status(load_settings().home)
    if as_json:
        return print_json(found.model_dump(by_alias=True))
    return show(found)


@group.command()
def withdraw(
    name: str = NAME,
    server: str = SERVER_OPTION,
    wait: float = WAIT_OPTION,
) -> None:
    """Takes a concept back: out of the queue here, and out of the server's next release.

    Deletes what tuning has made of it on this machine; your images stay as they are.

    Example: fedshow client withdraw anna
    """
    from fedshow_client.settings import load_settings
    from fedshow_client.withdrawing import withdraw as withdraw_concept

    job = withdraw_concept(name, server, load_settings().home, wait, say_waiting)
    print(f"withdrew {job.name} from {job.server}")


@group.command()
def visible(
    name: str = NAME,
    who: list[str] = typer.Argument(help="everybody, me, or names of nodes."),
    server: str = SERVER_OPTION,
    wait: float = WAIT_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Changes who may have a concept and every release with it: everybody who joined, named nodes, only you.

    Example: fedshow client visible anna bobs-laptop
    """
    from fedshow_client.settings import load_settings
    from fedshow_client.sharing import show_to

    job = show_to(name, who, server, load_settings().home, wait, say_waiting)
    if as_json:
        return print_json({"name": name, "server": job.server, "visible_to": job.visible_to})
    return print(f"{name} on {job.server} is visible to {', '.join(job.visible_to)}")
