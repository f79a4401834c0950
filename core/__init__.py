"""What two tasks share: pictures, kernels, layers, models, training, checkpoints, data."""
