"""`docs/study.md` from what was measured on toyworld."""
