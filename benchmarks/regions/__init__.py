"""The parts of `make bench-sampling`."""
