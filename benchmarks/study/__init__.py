"""The study that repeats the claims of Mix-of-Show on toyworld: concepts, prompts, five questions."""
