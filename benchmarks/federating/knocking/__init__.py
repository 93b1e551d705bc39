"""Who knocks at which door of a running server in how many ways, and what counts as let in."""
