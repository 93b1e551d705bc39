"""`fedshow verify`: is a release folder what its server signed, down to the last byte?"""

from pathlib import Path

import typer

from fedshow.commands.completing import servers
from fedshow.commands.options import JSON_OPTION
from fedshow.commands.output import byte_progress, print_json


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("verify")(verify)


def verify(
    folder: Path = typer.Argument(help="A release folder."),
    server: str | None = typer.Option(
        None,
        autocompletion=servers,
        help="It must be signed by this joined server, by name or HOST:PORT.",
    ),
    key: str | None = typer.Option(
        None, help="It must be signed with this key, as `fedshow server key` prints it."
    ),
    concept: list[Path] = typer.Option(
        [], help="A concept file that must be in the release; repeatable."
    ),
    as_json: bool = JSON_OPTION,
) -> None:
    """Checks signature, manifest, every file and the concepts; the first wrong link ends with code 1.

    Without --server or --key any signature is good, or none, and the answer says whose it is.

    Example: fedshow verify model --server home
    """
    from fedshow.errors import InvalidInput
    from fedshow.releases import verify_release
    from fedshow.releases.signing import signer_of

    if not folder.is_dir():
        raise InvalidInput(f"{folder} is not a folder; verify needs a release folder")
    signer = signer_of(folder)
    owner = _owner(signer, server, key)
    with byte_progress("verifying") as on_progress:
        manifest = verify_release(folder, on_progress)
    concepts = {member.sha256: member.name for member in manifest.concepts}
    _check_files(concept, concepts)
    if as_json:
        return print_json(
            {
                "release": manifest.release,
                "files": len(manifest.files),
                "concepts": list(concepts.values()),
                "signed_by": owner,
                "key": signer,
            }
        )
    listed = ", ".join(concepts.values()) or "no concepts"
    signed = "not signed" if signer is None else f"signed by {owner or f'unknown key {signer}'}"
    return print(
        f"{folder}: release {manifest.release}, {len(manifest.files)} files ({listed}), {signed}: good"
    )


def _owner(signer: str | None, server: str | None, key: str | None) -> str | None:
    """Whose key it is: a joined server's name, or the one asked for; raises RefusedRelease."""
    from fedshow.errors import InvalidInput, RefusedRelease
    from fedshow.transfer.servers import find_server, home_folder, known_servers

    wanted = [key] if key is not None else []
    if server is not None:
        known = find_server(server, home_folder())
        if known.signing_key is None:
            raise InvalidInput(f"the key of {known.name} is not known here: join it again")
        wanted.append(known.signing_key)
    for one in wanted:
        if signer != one:
            raise RefusedRelease(f"signature: {_signed(signer)}, it must be by key {one}")
    owners = (one.name for one in known_servers(home_folder()) if one.signing_key == signer)
    return next(owners, key) if signer else None


def _signed(signer: str | None) -> str:
    return "there is none" if signer is None else f"by key {signer}"


def _check_files(files: list[Path], concepts: dict[str, str]) -> None:
    """Raises Damaged for a concept file that is not in the release, InvalidInput for no file."""
    from fedshow.errors import Damaged, InvalidInput
    from fedshow.files import digest

    for file in files:
        if not file.is_file():
            raise InvalidInput(f"{file} is no file; --concept takes a concept file")
        if (sha256 := digest(file)) not in concepts:
            raise Damaged(f"concepts: {file} (sha256 {sha256[:12]}…) is not in the release")
