"""The embedded base and its measuring encoder, opened once in a process."""

from functools import cache

from fedshow.families import Base, open_base
from fedshow.toyworld.encoder import ToyworldEncoder, load_encoder


@cache
def toyworld() -> Base:
    """The base; whoever changes it restores it."""
    return open_base("toyworld")


@cache
def encoder() -> ToyworldEncoder:
    """Who judges its pictures."""
    return load_encoder()
