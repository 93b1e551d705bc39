"""Drawing with a base, a concept file or a release: plain and with regions."""
