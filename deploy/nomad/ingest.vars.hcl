# Watches the inboxes and takes in what is dropped there.
service  = "ingest"
settings = { PDFMILL_INBOX = "inbox" }
