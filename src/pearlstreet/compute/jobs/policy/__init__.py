"""The scheduling policy of the center and its named queues: versions of one value, changed while the center runs."""
