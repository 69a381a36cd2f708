"""Benchmark of speed and memory, compared with plain training loops (just below the tools)."""
