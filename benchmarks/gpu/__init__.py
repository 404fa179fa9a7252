"""All that a GPU is asked, by one command: `python -m benchmarks.gpu --out FOLDER`."""
