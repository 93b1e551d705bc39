"""Generated from protos/fedshow/v1 by `make protos`; never edited."""
