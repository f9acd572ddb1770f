"""What if: recent jobs played again under other policies or with more cards, in a process of its own."""
