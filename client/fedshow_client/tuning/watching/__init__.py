"""Seeing what happens while a concept is tuned: pictures, scores, the best checkpoint, a report."""
