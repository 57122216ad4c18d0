# Says what each document is, and plans page ranges.
service  = "validator"
cpu      = 2000
memory   = 1024
settings = { PDFMILL_ENGINES = "text" }
