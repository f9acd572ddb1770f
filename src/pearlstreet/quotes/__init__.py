"""Quotes: offers for a workload on the center's hardware, their acceptance as jobs, and quoted beside actual figures."""
