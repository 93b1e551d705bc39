"""What `make bench-federation` measures, a module each: `measure(work, size)` gives its figures."""
