"""`fedshow hub`: lets tools of the Hugging Face hub load releases from a joined server."""

import shlex

import typer

from fedshow.commands.completing import servers
from fedshow.commands.options import JSON_OPTION
from fedshow.commands.output import print_json, say


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("hub")(hub)


def hub(
    server: str = typer.Argument(
        autocompletion=servers, help="A joined server, by name or HOST:PORT."
    ),
    as_json: bool = JSON_OPTION,
) -> None:
    """Prints what to set so that `hf download` and `from_pretrained` load from a server.

    Its releases are the models fedshow/latest and fedshow/RELEASE. The token printed is yours. In a
    shell: eval "$(fedshow hub home)"

    Example: fedshow hub home
    """
    from fedshow.transfer.servers import find_server, home_folder

    found = find_server(server, home_folder())
    authority = found.folder(home_folder()) / "ca.pem"
    variables = {
        "HF_ENDPOINT": f"https://{found.address}",
        "HF_TOKEN": found.token,
        "SSL_CERT_FILE": str(authority),
        "REQUESTS_CA_BUNDLE": str(authority),  # for hub libraries before 1.0
    }
    if as_json:
        return print_json(variables)
    for name, value in variables.items():
        print(f"export {name}={shlex.quote(value)}")
    return say("only this server is trusted where these are set: use a shell of its own")
