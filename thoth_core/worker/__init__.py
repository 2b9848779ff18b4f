"""What the two kinds of worker process share: how they are born, speak, and end."""
