"""The CherryPy front door."""
