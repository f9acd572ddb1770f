"""The scheduling policy of the center and its named queues, stored in versions and changeable while the center runs."""
