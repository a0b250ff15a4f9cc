"""The commands `tokensieve bench` and `tokensieve demo`; imports of weight are in the functions."""
