"""The daemon: tunes what is queued, offers it to its servers, hands it over when Flower asks."""
