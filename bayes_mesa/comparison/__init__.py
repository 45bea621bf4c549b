"""Models and posteriors side by side."""
