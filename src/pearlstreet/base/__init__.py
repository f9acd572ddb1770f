"""Values that every package uses: ids, money, units, clock, randomness, errors, texts. No I/O."""
