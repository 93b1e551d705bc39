"""What `make release` and `make containers` do: packages and images, built, looked through and tried."""
