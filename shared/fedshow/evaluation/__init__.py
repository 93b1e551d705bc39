"""`fedshow evaluate`: what models draw of their concepts, and how near it comes to the real ones."""
