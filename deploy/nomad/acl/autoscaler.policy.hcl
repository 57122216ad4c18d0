# The Nomad Autoscaler: reads the jobs' scaling policies and sets how many gpu-runners there are.
namespace "default" {
  capabilities = ["list-jobs", "read-job", "list-scaling-policies", "read-scaling-policy", "read-job-scaling", "scale-job"]
}
