"""Statistics of concepts on disk: add, remove, and fuse any set of them with any weights."""

from fedshow_server.fusion.ledger.ledger import Ledger, check_weight, open_ledger
from fedshow_server.fusion.ledger.receipt import Receipt

__all__ = ["Ledger", "Receipt", "check_weight", "open_ledger"]
