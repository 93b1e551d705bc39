"""The study on anybody's pictures: their concepts, their base, their encoders."""
