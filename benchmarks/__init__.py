"""Scripts that measure the package beside its peers: `python -m benchmarks.lrn`."""
