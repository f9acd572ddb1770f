"""A small program for the test of the mutation tool."""
