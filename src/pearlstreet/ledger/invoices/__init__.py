"""Invoices over a month's charges of one organisation: drafted at any time, issued once, never changed."""
