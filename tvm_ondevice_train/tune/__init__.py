"""Autotuning: which schedule of each kernel costs least on a board."""
