"""Optimisation: optimisers, averages of weights (EMA), and the check of gradients."""
