"""Measurements on real data; the pages in `results` record them with the commands."""
