"""The aggregation server: checks, keeps, fuses and publishes concepts."""
