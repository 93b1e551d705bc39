"""Flower's ClientApp, as installed on the node."""

from importlib import import_module

app = import_module("fedshow_client.flower_app").app  # by name: this part knows neither side
