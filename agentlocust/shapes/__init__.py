"""Load over time: shapes, arrivals, and what the load found out."""
