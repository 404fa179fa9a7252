"""Claims of the paper and of this course, put to the test: `python -m benchmarks.claims.relu`."""
