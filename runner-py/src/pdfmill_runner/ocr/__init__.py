"""What the ocr engine is made of. `reading` imports the recogniser: imported when the engine loads; the rest needs nothing."""
