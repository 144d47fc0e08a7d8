"""Benchmarks: figures as ratios against a named baseline in the same run. No assertion on time anywhere."""
