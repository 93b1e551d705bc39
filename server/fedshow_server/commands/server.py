"""`fedshow server …`: the aggregation server and what its owner does with it."""

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fedshow.commands.completing import BASE, words
from fedshow.commands.options import JSON_OPTION
from fedshow.commands.output import print_json
from fedshow_server.commands import audit, backup, members, prune
from fedshow_server.commands.options import DATA_OPTION, data_folder

if TYPE_CHECKING:
    from fedshow_server.folder import Facts

group = typer.Typer(
    no_args_is_help=True,
    suggest_commands=False,  # click does
    help="The aggregation server: keeps concepts, fuses them, publishes.\n\n"
    "Example: fedshow server run --data ./server",
)

group.add_typer(audit.group, name="audit")
group.command()(backup.backup)
group.command()(backup.restore)
group.command()(prune.prune)
members.register(group)


def register(app: typer.Typer) -> None:
    """Adds the group."""
    app.add_typer(group, name="server")


@group.command()
def run(
    data: Path | None = DATA_OPTION,
    base: str | None = typer.Option(
        None, autocompletion=BASE, help="The base model. [default: toyworld]"
    ),
    listen: str | None = typer.Option(
        None, help="HOST:PORT of the public HTTPS door. [default: 127.0.0.1:8443]"
    ),
    grpc_listen: str | None = typer.Option(
        None, help="HOST:PORT for gRPC. [default: the next port]"
    ),
    public_name: str | None = typer.Option(
        None, help="Host name under which clients reach this server."
    ),
    database: str | None = typer.Option(
        None, help="sqlite:///FILE or postgresql://…; best in the environment. [default: SQLite]"
    ),
    store: str | None = typer.Option(
        None, help="Where content lies: a folder, or s3://BUCKET/PREFIX. [default: in the folder]"
    ),
    quiet_seconds: float | None = typer.Option(
        None, help="Fuse when this long no concept came or went. [default: 5]"
    ),
    max_concept_bytes: int | None = typer.Option(None, help="Largest concept file taken."),
    log_format: str | None = typer.Option(
        None,
        autocompletion=words("text", "json"),
        help="Log lines on stderr: text, or json for machines. [default: text]",
    ),
    sample_steps: int | None = typer.Option(
        None, help="Steps of the pictures drawn of each concept; 0: none are drawn. [default: 20]"
    ),
    scorer: Path | None = typer.Option(
        None, help="CLIP, DINOv2 or ArcFace model that measures them. [default: the base's own]"
    ),
    ray: str | None = typer.Option(
        None, help="Ray cluster that fuses: auto, HOST:PORT or ray://HOST:PORT. [default: none]"
    ),
    config: Path | None = typer.Option(
        None, help="TOML file with these settings. [default: server.toml in the folder]"
    ),
    as_json: bool = JSON_OPTION,
) -> None:
    """Runs the server in the foreground until SIGTERM or Ctrl-C.

    Example: fedshow server run --data /srv/fedshow --listen 0.0.0.0:8443 --public-name fuse.example
    """
    import asyncio

    from fedshow_server.settings import load_settings
    from fedshow_server.upkeep.logs import quiet_grpc, set_up_logs

    settings = load_settings(
        config,
        data=data,
        base=base,
        listen=listen,
        grpc_listen=grpc_listen,
        public_name=public_name,
        database=database,
        store=store,
        quiet_seconds=quiet_seconds,
        max_concept_bytes=max_concept_bytes,
        log_format=log_format,
        sample_steps=sample_steps,
        scorer=scorer,
        ray=ray,
    )
    quiet_grpc()
    set_up_logs(settings.log_format, settings.log_level)
    from fedshow_server.running import serve

    asyncio.run(serve(settings, partial(_say_ready, settings.data, as_json)))


def _say_ready(data: Path, as_json: bool, facts: "Facts") -> None:
    if as_json:
        print_json({"address": facts.address, "grpc": facts.grpc, "data": data})
    else:
        print(f"ready at https://{facts.address} (gRPC {facts.grpc})")
    sys.stdout.flush()


@group.command()
def key(data: Path | None = DATA_OPTION, as_json: bool = JSON_OPTION) -> None:
    """Prints the public key that releases are signed with, for `fedshow verify --key`.

    Example: fedshow server key
    """
    from fedshow_server.releasing.signing import open_signer

    folder = data_folder(data)
    folder.facts()  # or there would be a new key wherever somebody asks
    public_key = open_signer(folder.ca).public_key
    if as_json:
        return print_json({"key": public_key})
    return print(public_key)
