"""What pages of the server and of the client share: layout, look, scripts, and what keeps them safe."""
