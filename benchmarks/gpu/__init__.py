"""What `make bench-gpu` measures at Stable Diffusion 1.5's size, a module each: `measure(device, tiny)`.

Parts yield figures as soon as they are known: what follows may fail, or the machine be gone.
"""
