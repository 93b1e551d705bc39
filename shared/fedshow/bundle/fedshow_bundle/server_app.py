"""Flower's ServerApp, as installed on the server."""

from importlib import import_module

app = import_module("fedshow_server.flower.app").app  # by name: this part knows neither side
