"""ED-LoRA (Mix-of-Show, arXiv 2305.18292, section 3.2): layer-wise word embeddings and LoRA."""
