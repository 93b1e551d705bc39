"""fedshow.v1 over gRPC: thin servicers behind one table of who may call what."""
