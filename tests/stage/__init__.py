"""A real server, nodes of it and what they need, for tests and benchmarks alike."""
