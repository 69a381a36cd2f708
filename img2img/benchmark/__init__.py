"""Just below the tools: speed and memory, beside plain training loops."""
