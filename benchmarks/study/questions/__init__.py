"""The five questions of the study, one module each: what it needs, and what is found."""
