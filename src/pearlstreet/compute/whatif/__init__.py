"""What-if questions: replays recent jobs under other policies or on other machines, in a separate process."""
