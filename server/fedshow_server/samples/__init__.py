"""Pictures of every concept for people to look at, and what fusing costs it: drawn when the card is free."""
