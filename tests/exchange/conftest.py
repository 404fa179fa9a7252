"""The tests of the PyTorch twin are left out where PyTorch is not installed."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("torch") else ["torch_twin"]
