"""The parts of scripts/places."""
