# Who deploys pdfmill: its jobs and their secrets, and nothing else in the namespace.
namespace "default" {
  capabilities = ["list-jobs", "parse-job", "read-job", "submit-job", "read-logs"]
  variables {
    path "nomad/jobs/pdfmill-*" {
      capabilities = ["list", "read", "write", "destroy"]
    }
  }
}

host_volume "pdfmill-*" {
  policy = "write"
}

node {
  policy = "read"
}
