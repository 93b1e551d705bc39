"""`fedshow client pause | resume | priority | retry`: which concept is tuned when."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from fedshow.commands.output import say
from fedshow_client.commands.completing import concepts
from fedshow_client.commands.options import NAME, SERVER_OPTION

if TYPE_CHECKING:
    from fedshow_client.home import Home
    from fedshow_client.queue import Queue

NAME_OR_ALL = typer.Argument(
    None, autocompletion=concepts, help="A concept's name; without one, the whole queue."
)


def register(group: typer.Typer) -> None:
    """Adds the commands to `fedshow client`."""
    for command in (pause, resume, priority, retry):
        group.command()(command)


def pause(name: str = NAME_OR_ALL, server: str = SERVER_OPTION) -> None:
    """Pauses one concept or the whole queue.

    What is being tuned stops at its next step and goes on from there after resume. What is tuned
    already is handed over all the same.

    Example: fedshow client pause anna
    """
    with _queue() as (_, queue):
        if name is None:
            queue.pause_all()
            return print("paused the queue")
        queue.pause(queue.find(name, server))
        return print(f"paused {name}")


def resume(name: str = NAME_OR_ALL, server: str = SERVER_OPTION) -> None:
    """Lets a concept or the whole queue go on.

    A concept that was paused by its name is resumed by its name.

    Example: fedshow client resume
    """
    with _queue() as (_, queue):
        if name is None:
            queue.pause_all(paused=False)
            return print("resumed the queue")
        queue.pause(queue.find(name, server), paused=False)
        if queue.paused():
            say("the whole queue is paused: fedshow client resume")
        return print(f"resumed {name}")


def priority(
    name: str = NAME,
    value: int = typer.Argument(help="Higher ones are tuned first; new concepts have 0."),
    server: str = SERVER_OPTION,
) -> None:
    """Sets whose turn is next.

    Among equals the older comes first. What is being tuned is finished whatever comes: pause it
    to let another one pass. A priority below zero needs two dashes before it.

    Example: fedshow client priority anna 10
    """
    with _queue() as (_, queue):
        queue.prioritise(queue.find(name, server), value)
    print(f"priority of {name}: {value}")


def retry(
    name: str = NAME,
    start_over: bool = typer.Option(
        False, "--start-over", help="Forget the steps done, as when images have changed."
    ),
    server: str = SERVER_OPTION,
) -> None:
    """Tries a failed concept again, now.

    It goes on from its last checkpoint.

    Example: fedshow client retry anna
    """
    with _queue() as (home, queue):
        job = queue.find(name, server)
        queue.retry(job, before=lambda: home.forget_job(job.id) if start_over else None)
    print(f"queued {name} again")


@contextmanager
def _queue() -> "Iterator[tuple[Home, Queue]]":
    """This user's home and queue."""
    from fedshow_client.home import Home
    from fedshow_client.queue import Queue
    from fedshow_client.settings import load_settings

    home = Home(load_settings().home)
    with Queue(home.database) as queue:
        yield home, queue
