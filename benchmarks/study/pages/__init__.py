"""`docs/study.md` from the study's figures: tables, plots, sheets of pictures."""
