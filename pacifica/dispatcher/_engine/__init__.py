"""What runs an accepted event: the executor and the workers around it."""
