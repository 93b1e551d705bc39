"""Talking to a joined server: its pinned channel, its releases, their files.

Import from the modules: `servers` is light, the others bring gRPC.
"""
