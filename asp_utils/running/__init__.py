"""The parts of one run: command line, config file, signals, recording, call, output."""
