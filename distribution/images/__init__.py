"""The images of docker/, made and tried without a container engine: their own steps, in a chroot."""
