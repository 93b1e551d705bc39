"""The client's own page: what goes on here, shown to and steered by browsers of this machine alone."""
