"""The study on toyworld: its concepts, its prompts, who judges, and the questions that it alone is asked."""
