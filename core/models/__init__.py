"""Networks on the core's layers; each returns its feature maps by name."""
