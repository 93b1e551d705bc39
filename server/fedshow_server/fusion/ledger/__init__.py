"""Statistics of concepts on disk: add, remove, reweight, and fuse any set of them."""

from fedshow_server.fusion.ledger.ledger import Ledger, check_weight, open_ledger
from fedshow_server.fusion.ledger.receipt import Receipt

__all__ = ["Ledger", "Receipt", "check_weight", "open_ledger"]
