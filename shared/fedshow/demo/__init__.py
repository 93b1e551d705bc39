"""`fedshow demo`: the whole main job on one machine, with real processes over loopback."""
