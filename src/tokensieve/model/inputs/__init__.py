"""Inputs: what becomes packed tokens, a kind a file. Nothing behind them knows what a token stands for."""
