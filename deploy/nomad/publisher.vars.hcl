# Joins ranges into documents and announces them.
service = "publisher"
disk    = 1024
