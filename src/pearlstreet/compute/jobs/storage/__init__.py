"""Storage of tenants: metering, quotas, retention and deletion of files, logs and environments."""
