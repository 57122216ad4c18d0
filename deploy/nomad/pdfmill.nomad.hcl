# A service of pdfmill as a job: nomad job run -var-file=cluster.vars.hcl -var-file=ingest.vars.hcl pdfmill.nomad.hcl, and so on for validator, gpu-runner and
# publisher, each of which is a job of its own, pdfmill-SERVICE. docs/deploy.md says what must be there before.

# ingest, validator, gpu-runner or publisher.
variable "service" {}

variable "namespace" { default = "default" }

variable "datacenters" {
  type    = list(string)
  default = ["*"]
}

# URL of the folder with the release archives that make dist wrote.
variable "releases" {}
# Release, as in the archive's name: pdfmill_VERSION_linux_ARCH.tar.gz.
variable "version" {}
# Of the archive, as in SHA256SUMS: sha256:…
variable "checksum" {}
variable "arch" { default = "amd64" }
# exec isolates the task in a chroot in which there are no GPUs; raw_exec does not, and knows no volumes.
variable "driver" { default = "exec" }
# How the servers are found: nomad, consul, or connect (Consul's mesh, through sidecars).
variable "discovery" { default = "nomad" }

# Secrets from Vault (kv/pdfmill/SERVICE) instead of Nomad's variables (nomad/jobs/pdfmill-SERVICE).
variable "vault" {
  type    = bool
  default = false
}

# NATS and the object store speak TLS.
variable "tls" {
  type    = bool
  default = true
}

# NATS servers that are not found through discovery, separated by commas.
variable "nats_url" { default = "" }
# Object store that is not found through discovery, as a URL.
variable "s3_endpoint" { default = "" }

# How many of them. Any number is right; more of them do more.
variable "servers" {
  type    = number
  default = 2
}

# MHz.
variable "cpu" {
  type    = number
  default = 500
}

# MiB, workers included; it may use twice as much where there is some.
variable "memory" {
  type    = number
  default = 256
}

# MiB for documents in work.
variable "disk" {
  type    = number
  default = 4096
}

# Settings of the service, as its --help names their variables: { PDFMILL_INBOX = "inbox" }.
variable "settings" {
  type    = map(string)
  default = {}
}

# A little more than what is in hand gets when the service is told to stop, as its log then says ("stopping"); what is left comes again elsewhere. Nomad takes no more
# than the node's max_kill_timeout (client.hcl).
variable "kill_timeout" { default = "30s" }
# What a start may take: gpu-runners make Python environments and load models.
variable "start_timeout" { default = "5m" }

# One on every node that can (a system job), instead of a number of them.
variable "per_node" {
  type    = bool
  default = false
}

# NVIDIA GPUs for each, which uses all that its node has: as many as that is; 0: none.
variable "gpus" {
  type    = number
  default = 0
}

# The least memory of such a GPU.
variable "gpu_memory" { default = "16 GiB" }
# Host volume for Python environments and models, writable by nobody; "": what is made is made again at every place.
variable "cache_volume" { default = "" }
# The same for raw_exec, as a folder of the node.
variable "cache_folder" { default = "" }

# Let the Nomad Autoscaler decide how many, from servers to most, by the ranges that wait in JetStream for each that runs. It needs Prometheus, with
# prometheus-nats-exporter -jsz=consumers and the services' /metrics.
variable "autoscale" {
  type    = bool
  default = false
}

variable "most" {
  type    = number
  default = 10
}

variable "waiting_each" {
  type    = number
  default = 100
}

locals {
  archive = "pdfmill_${var.version}_linux_${var.arch}"

  # Opens what holds this job's secrets; both ways have the same names in it.
  secrets = var.vault ? "{{ with secret \"kv/data/pdfmill/${var.service}\" }}{{ with .Data.data }}" : "{{ with nomadVar \"nomad/jobs/pdfmill-${var.service}\" }}{{ with . }}"
  end     = "{{ end }}{{ end }}"

  mesh   = var.discovery == "connect"
  canary = !var.per_node && var.gpus == 0
  find   = var.discovery == "nomad" ? "nomadService" : "service"
  scheme = var.tls ? { nats = "tls", s3 = "https" } : { nats = "nats", s3 = "http" }
  nats = (var.nats_url != "" ? var.nats_url
    : local.mesh ? "${local.scheme.nats}://127.0.0.1:4222"
  : "{{ range $i, $s := ${local.find} \"pdfmill-nats\" }}{{ if $i }},{{ end }}${local.scheme.nats}://{{ $s.Address }}:{{ $s.Port }}{{ end }}")
  s3 = (var.s3_endpoint != "" ? var.s3_endpoint
    : local.mesh ? "${local.scheme.s3}://127.0.0.1:9000"
  : "{{ range $i, $s := ${local.find} \"pdfmill-s3\" }}{{ if not $i }}${local.scheme.s3}://{{ $s.Address }}:{{ $s.Port }}{{ end }}{{ end }}")

  files = merge({ "nats.nk" = "nats_nkey", "s3.key" = "s3_secret_key" }, var.tls ? { "ca.pem" = "ca" } : {})
}

job "pdfmill" {
  id          = "pdfmill-${var.service}"
  name        = "pdfmill-${var.service}"
  namespace   = var.namespace
  datacenters = var.datacenters
  type        = var.per_node ? "system" : "service"

  constraint {
    attribute = "${attr.cpu.arch}"
    value     = var.arch
  }

  dynamic "spread" {
    for_each = var.per_node ? [] : [1]
    content {
      attribute = "${node.unique.id}"
    }
  }

  # Where the place is taken, or the GPU, there is none for a canary: one goes after the other.
  update {
    max_parallel      = 1
    canary            = local.canary ? 1 : 0
    auto_promote      = local.canary
    auto_revert       = true
    stagger           = "5m" # between nodes, of Nomad before 1.11, which updates system jobs by the clock
    health_check      = "checks"
    min_healthy_time  = "20s"
    healthy_deadline  = var.start_timeout
    progress_deadline = var.per_node ? "0s" : "1h"
  }

  group "service" {
    count = var.per_node ? 1 : var.servers

    dynamic "scaling" {
      for_each = var.autoscale && !var.per_node ? [1] : []
      content {
        enabled = true
        min     = var.servers
        max     = var.most
        policy {
          cooldown            = "5m"
          evaluation_interval = "30s"
          check "waiting-ranges" {
            source = "prometheus"
            query  = "sum(max by (consumer_name) (jetstream_consumer_num_pending{stream_name=\"PDF_JOBS\",consumer_name=~\"gpu-runner-.*\"})) / clamp_min(count(count by (instance) (pdfmill_stage_in_work{stage=\"gpu-runner\"})), 1)"
            strategy "target-value" {
              target    = var.waiting_each
              threshold = 0.2
            }
          }
        }
      }
    }

    network {
      mode = local.mesh ? "bridge" : "host"
      port "http" {}
    }

    # Crash-only: whatever ends a process, another goes on with its messages. A place where it can't start is left.
    restart {
      attempts         = 5
      interval         = "5m"
      delay            = "5s"
      mode             = var.per_node ? "delay" : "fail"
      render_templates = true
    }
    dynamic "reschedule" {
      for_each = var.per_node ? [] : [1]
      content {
        delay          = "15s"
        delay_function = "exponential"
        max_delay      = "10m"
        unlimited      = true
      }
    }
    # A node that is drained waits for what replaces its own.
    dynamic "migrate" {
      for_each = var.per_node ? [] : [1]
      content {
        max_parallel     = 1
        health_check     = "checks"
        min_healthy_time = "20s"
        healthy_deadline = var.start_timeout
      }
    }
    # A node that Nomad can't reach may still reach NATS. Both copies may work at the same time: doing anything twice changes nothing.
    disconnect {
      lost_after = "5m"
      replace    = true
      reconcile  = "longest_running"
    }

    ephemeral_disk {
      size   = var.disk
      sticky = true
    }
    dynamic "volume" {
      for_each = var.cache_volume != "" ? ["cache"] : []
      labels   = ["cache"]
      content {
        type   = "host"
        source = var.cache_volume
      }
    }

    service {
      name     = "pdfmill-${var.service}"
      port     = "http"
      provider = var.discovery == "nomad" ? "nomad" : "consul"

      check {
        name     = "ready"
        type     = "http"
        path     = "/readyz"
        interval = "10s"
        timeout  = "5s"
        check_restart {
          limit = 30
          grace = var.start_timeout
        }
      }
      check {
        name     = "alive"
        type     = "http"
        path     = "/healthz"
        interval = "10s"
        timeout  = "5s"
        check_restart {
          limit = 6
          grace = var.start_timeout
        }
      }

      dynamic "connect" {
        for_each = local.mesh ? [1] : []
        content {
          sidecar_service {
            proxy {
              upstreams {
                destination_name = "pdfmill-nats"
                local_bind_port  = 4222
              }
              upstreams {
                destination_name = "pdfmill-s3"
                local_bind_port  = 9000
              }
            }
          }
        }
      }
    }

    task "service" {
      driver       = var.driver
      user         = "nobody"
      kill_timeout = var.kill_timeout

      config {
        command = "${NOMAD_TASK_DIR}/${local.archive}/pdfmill-${var.service}"
      }

      artifact {
        source      = "${var.releases}/${local.archive}.tar.gz"
        destination = "local"
        options {
          checksum = var.checksum
        }
      }

      dynamic "vault" {
        for_each = var.vault ? [1] : []
        content {
          role         = "pdfmill-${var.service}"
          change_mode  = "noop" # only the templates use the token
          env          = false
          disable_file = true
        }
      }

      dynamic "volume_mount" {
        for_each = var.cache_volume != "" ? ["cache"] : []
        content {
          volume      = "cache"
          destination = "/cache"
        }
      }

      # Every service reads what is its own.
      env {
        PDFMILL_TOPOLOGY           = "wait" # topology.nomad.hcl makes streams and buckets
        PDFMILL_HTTP_ADDR          = local.mesh ? "0.0.0.0:${NOMAD_PORT_http}" : "${NOMAD_ADDR_http}"
        PDFMILL_NATS_NKEY          = "${NOMAD_SECRETS_DIR}/nats.nk"
        PDFMILL_NATS_CA            = var.tls ? "${NOMAD_SECRETS_DIR}/ca.pem" : ""
        PDFMILL_S3_SECRET_KEY_FILE = "${NOMAD_SECRETS_DIR}/s3.key"
        PDFMILL_S3_CA              = var.tls ? "${NOMAD_SECRETS_DIR}/ca.pem" : ""
        PDFMILL_CACHE              = var.cache_folder != "" ? var.cache_folder : var.cache_volume != "" ? "/cache" : "${NOMAD_ALLOC_DIR}/data/cache"
        PDFMILL_GPU                = var.gpus > 0 ? "auto" : "none"
        PDFMILL_LOG_FORMAT         = "json"
        TMPDIR                     = "${NOMAD_ALLOC_DIR}/tmp"
      }

      # Servers come and go without a restart: they tell of each other. Only when none of them is left, and the check above ends a process that is not ready
      # for 5 minutes, is this read anew.
      template {
        destination          = "secrets/servers.env"
        env                  = true
        change_mode          = "noop"
        error_on_missing_key = true
        data                 = <<-EOT
          PDFMILL_NATS_URL=${local.nats}
          PDFMILL_S3_ENDPOINT=${local.s3}
          PDFMILL_S3_ACCESS_KEY=${local.secrets}{{ .s3_access_key }}${local.end}
          ${join("\n", [for name, value in var.settings : "${name}=${value}"])}
        EOT
      }

      # Files are read again at every connect, so that a secret that is replaced needs no restart.
      dynamic "template" {
        for_each = local.files
        iterator = file
        content {
          destination          = "secrets/${file.key}"
          change_mode          = "noop"
          perms                = "0400"
          uid                  = 65534
          gid                  = 65534
          error_on_missing_key = true
          data                 = "${local.secrets}{{ .${file.value} }}${local.end}\n"
        }
      }

      resources {
        cpu        = var.cpu
        memory     = var.memory
        memory_max = 2 * var.memory

        dynamic "device" {
          for_each = var.gpus > 0 ? [var.gpus] : []
          iterator = number
          labels   = ["nvidia/gpu"]
          content {
            count = number.value
            constraint {
              attribute = "${device.attr.memory}"
              operator  = ">="
              value     = var.gpu_memory
            }
          }
        }
      }

      logs {
        max_files     = 5
        max_file_size = 20
      }
    }
  }
}
