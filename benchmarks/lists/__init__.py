"""Lists of ours and of other programs, measured alike: `python -m benchmarks run lists`."""
