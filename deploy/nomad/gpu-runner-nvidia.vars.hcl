# Converts page ranges on NVIDIA GPUs: one on every node that has one that is large enough. Only raw_exec lets a program without a container see them.
service       = "gpu-runner"
per_node      = true
gpus          = 1
gpu_memory    = "16 GiB"
cpu           = 8000
memory        = 16384
disk          = 16384
driver        = "raw_exec"
cache_folder  = "/srv/pdfmill/cache"
kill_timeout  = "90s"
start_timeout = "30m"
settings      = { PDFMILL_SERVE = "marker,text" }
