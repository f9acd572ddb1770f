"""What the center has to give: shares of devices by exact arithmetic, and where devices are."""
