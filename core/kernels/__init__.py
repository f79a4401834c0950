"""Triton kernels, one family a file. Imported by `core.ops` and by nobody else, at the first call that needs them."""
