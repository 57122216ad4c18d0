# Converts page ranges on CPUs.
service       = "gpu-runner"
cpu           = 4000
memory        = 4096
cache_volume  = "pdfmill-cache"
kill_timeout  = "90s"
start_timeout = "30m"
settings      = { PDFMILL_SERVE = "text" }
