"""Bags of visual words and SVMs: the classical pipeline, and its comparison with the networks."""
