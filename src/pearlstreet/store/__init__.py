"""What every room keeps its rows with: transactions, leases, transitions, outbox, idempotency, audit, loops."""
