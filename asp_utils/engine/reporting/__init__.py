"""What a processor tells about itself: counters, stats, explanations."""
