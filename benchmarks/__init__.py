"""Measurements on real data; `benchmarks/README.md` records their results with the commands."""
