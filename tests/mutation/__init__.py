"""Mutation runs: small wrong changes are planted, and the tests must notice them.

A tool of our own, because those there are leave out what matters here. mutmut 3.8 runs on this tree at about the same pace, but
skips every function with a decorator (all routes, properties and context managers), cannot be told that messages for
people are not behaviour, and has no operator that leaves one condition of a statement out. cosmic-ray 8.7 starts a process
for each mutant, which would then import the program and its tests first, 3 s each.
"""
