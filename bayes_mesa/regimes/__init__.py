"""What training does to the verdict: rollouts, episodes, updates, forecasts."""
