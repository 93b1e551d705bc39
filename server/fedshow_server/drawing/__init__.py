"""Drawing with releases for members: one after another, in a process of its own."""
