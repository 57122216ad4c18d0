"""What the text engine is made of. Imported when it loads, not before."""
