"""Base-model families: which layers take adapters, how many slots, how prompts are encoded."""
