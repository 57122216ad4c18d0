# In Vault, for the role pdfmill-ingest; the others' are like it. A job reads its own secrets.
path "kv/data/pdfmill/ingest" {
  capabilities = ["read"]
}
