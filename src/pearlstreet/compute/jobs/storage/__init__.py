"""What is stored for tenants: how much, its limits, its price, and how long it stays."""
