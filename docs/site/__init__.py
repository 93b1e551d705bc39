"""How the docs become a site: pages made from code, links out of `docs/`, formulas without scripts."""
