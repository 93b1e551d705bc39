"""Flower on the server's side: its SuperLink as a child, the runs that collect concepts, what they check."""
