"""The store, shared by all packages: transactions, leases, transitions, outbox, idempotency, audit log and loops."""
