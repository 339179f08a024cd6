"""What the factor models share."""
