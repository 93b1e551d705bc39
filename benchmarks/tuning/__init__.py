"""What `make bench-tune` is made of."""
