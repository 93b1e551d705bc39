"""How long others may keep an answer: content of an id never changes, that of a name does."""

FOR_EVER = "private, max-age=31536000, immutable"
ASK_AGAIN = "private, no-cache"
