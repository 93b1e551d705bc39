"""How long others may keep an answer: content of an id never changes, that of a name does.

What its owner may take back is kept for an hour at most.
"""

FOR_EVER = "private, max-age=31536000, immutable"
A_WHILE = "private, max-age=3600"
ASK_AGAIN = "private, no-cache"
