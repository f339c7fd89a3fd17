"""Clusters made of recorded cases: they answer as an API server does, and nothing behind them runs."""
