"""Search for repositories: the same words and Chinese bigrams in one index table on every database."""
