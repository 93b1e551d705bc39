"""What client and server agree on: concepts, bases, ED-LoRA, sampling, releases, the contract."""

__version__ = "0.1.0"
