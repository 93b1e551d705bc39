"""Teaching one concept from a folder of private images; needs no server."""
