"""What conditions are made of: what they ask of an event, how they compare it, and how they are combined."""
