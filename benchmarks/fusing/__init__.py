"""What `make bench-fusion` is made of."""
