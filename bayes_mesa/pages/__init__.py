"""The report's page, and what only it says."""
