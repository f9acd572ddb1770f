"""Values every room stands on: ids, money, units, clock, randomness, errors, texts. No I/O."""
