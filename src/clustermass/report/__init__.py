"""What a run came to: summary, costs, advice after a failure."""
