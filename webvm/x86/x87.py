"""What the x87 instructions mean. Run by the oracle alone."""
