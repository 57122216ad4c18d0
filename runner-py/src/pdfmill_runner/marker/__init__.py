"""What the marker engine is made of. The modules that import marker itself are imported when the engine loads, not before."""
