"""Entry points for Flower; the code behind them is installed on each side, never sent."""
