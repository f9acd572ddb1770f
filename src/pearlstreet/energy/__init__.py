"""Electricity of a site (PUE, tariff, carbon factor), and the energy, cost and carbon of work."""
