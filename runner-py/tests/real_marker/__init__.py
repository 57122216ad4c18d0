"""Tests that need marker itself: `make test-marker` runs them, in an environment of each generation."""
