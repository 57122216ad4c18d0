# Who looks after pdfmill: sees its jobs and logs, restarts and scales them. Reads no secrets and changes no job.
namespace "default" {
  capabilities = ["list-jobs", "read-job", "read-logs", "alloc-lifecycle", "read-job-scaling", "scale-job"]
}

node {
  policy = "read"
}
