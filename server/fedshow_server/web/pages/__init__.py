"""The gallery: what people look at with a browser."""
