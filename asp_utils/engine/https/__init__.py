"""The parts of `$https`: its options, the requests it makes, their delivery, and the replies."""
