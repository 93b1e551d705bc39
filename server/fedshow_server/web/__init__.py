"""Releases over HTTP: files, lists and the hub's protocol, behind one table of who may ask."""
