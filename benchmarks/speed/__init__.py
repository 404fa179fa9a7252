"""What was measured of speed and memory, beside peers: `python -m benchmarks.speed.training`."""
