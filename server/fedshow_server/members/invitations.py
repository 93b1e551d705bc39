"""How long a join code may be good; costs nothing to import."""

SHORTEST_HOURS, LONGEST_HOURS = 0.01, 24 * 365
