"""Measuring pictures: whom they show, and whether they show what they should."""
