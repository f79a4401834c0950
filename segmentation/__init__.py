"""A class for every pixel: fully convolutional networks and what they find."""
