"""How much of single private pictures a tuned concept gives back, estimated before anything leaves."""
