"""The admin listener: whether the gateway is well, what it counts, and what the teams may and did."""
