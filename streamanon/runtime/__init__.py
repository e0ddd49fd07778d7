"""What the chain runs on: model files and runtimes, threads, counts of faults, clocks."""
