"""The Python side of pdfmill: engines that turn pages of a PDF into Markdown, each in a process of its own.

Importing this package imports nothing heavy: the time from the start of a process to its first word counts.
"""

__version__ = "0.1.0"
