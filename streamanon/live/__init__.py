"""Live streams: one connection a source, the chain, and one child process for each output."""
