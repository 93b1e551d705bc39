"""What `make bench-gpu` measures at the bases' true sizes, a module each: `measure(device, tiny)`.

Parts yield figures as soon as they are known: what follows may fail, or the machine be gone.
"""
