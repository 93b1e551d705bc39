"""Flower's SuperLink as our child process: the stock program, ended when the server is gone."""

import sys

from fedshow_server.children import die_with_parent


def main() -> None:
    """Runs `flower-superlink` with this process's arguments."""
    die_with_parent()
    from flwr.superlink.cli import flower_superlink

    sys.argv[0] = "flower-superlink"
    flower_superlink()


if __name__ == "__main__":
    main()
