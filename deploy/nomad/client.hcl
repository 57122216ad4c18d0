# What a node's own configuration must have for pdfmill's jobs: nomad agent -config=client.hcl, beside what yours has. Leave out what no job on the node uses.
client {
  # Nomad cuts each job's kill_timeout to this, which is 30s by default: less than the drains.
  max_kill_timeout = "2m"

  # Folders of nobody, mode 0700.
  host_volume "pdfmill-nats" {
    path = "/srv/pdfmill/nats"
  }
  host_volume "pdfmill-s3" {
    path = "/srv/pdfmill/s3"
  }
  host_volume "pdfmill-cache" {
    path = "/srv/pdfmill/cache"
  }
}

# Nodes with GPUs.
plugin "nomad-device-nvidia" {
  config {
    enabled = true
  }
}
plugin "raw_exec" {
  config {
    enabled = true
  }
}
