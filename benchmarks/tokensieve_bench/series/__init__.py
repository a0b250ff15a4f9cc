"""Forecasts of time series by a small patch transformer, for methods that merge neighbours."""
