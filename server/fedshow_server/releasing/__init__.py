"""From admitted concepts to signed releases that everybody hears of: what is due, fused, published."""
