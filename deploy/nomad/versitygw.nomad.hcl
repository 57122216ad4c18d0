# An object store on a file system: versitygw. Several of them may share one (NFS, CephFS, GPFS); each node that has it gets one.
# docs/deploy.md says what must be there before, and which other stores will do.

variable "namespace" { default = "default" }

variable "datacenters" {
  type    = list(string)
  default = ["*"]
}

# Release of versitygw, and its archive's checksum: sha256:…
variable "version" { default = "1.8.0" }
variable "checksum" {}
# As in the archive's name: x86_64 or arm64.
variable "arch" { default = "x86_64" }
variable "releases" { default = "https://github.com/versity/versitygw/releases/download" }
# nomad, consul, or connect (Consul's mesh).
variable "discovery" { default = "nomad" }

# Secrets from Vault (kv/pdfmill/s3) instead of Nomad's variables (nomad/jobs/pdfmill-s3).
variable "vault" {
  type    = bool
  default = false
}

variable "tls" {
  type    = bool
  default = true
}

# Host volume with the file system, writable by nobody. Its folder of users, users/, lies beside the buckets, data/.
variable "data_volume" { default = "pdfmill-s3" }

variable "servers" {
  type    = number
  default = 1
}

variable "port" {
  type    = number
  default = 9000
}

locals {
  archive = "versitygw_v${var.version}_Linux_${var.arch}"
  secrets = var.vault ? "{{ with secret \"kv/data/pdfmill/s3\" }}{{ with .Data.data }}" : "{{ with nomadVar \"nomad/jobs/pdfmill-s3\" }}{{ with . }}"
  end     = "{{ end }}{{ end }}"
  mesh    = var.discovery == "connect"
  files   = var.tls ? { "cert.pem" = "cert", "key.pem" = "key" } : {}
}

job "pdfmill-s3" {
  namespace   = var.namespace
  datacenters = var.datacenters
  type        = "service"

  update {
    max_parallel      = 1
    auto_revert       = true
    health_check      = "checks"
    min_healthy_time  = "15s"
    healthy_deadline  = "5m"
    progress_deadline = "10m"
  }

  group "s3" {
    count = var.servers

    constraint {
      operator = "distinct_hosts"
      value    = "true"
    }

    network {
      mode = local.mesh ? "bridge" : "host"
      port "s3" {
        static = var.port
      }
    }

    restart {
      attempts         = 10
      interval         = "10m"
      delay            = "5s"
      mode             = "delay"
      render_templates = true
    }
    disconnect {
      lost_after = "168h"
      replace    = false
      reconcile  = "keep_original"
    }

    volume "data" {
      type   = "host"
      source = var.data_volume
    }

    service {
      name     = "pdfmill-s3"
      port     = "s3"
      provider = var.discovery == "nomad" ? "nomad" : "consul"
      check {
        name     = "listens"
        type     = "tcp"
        interval = "10s"
        timeout  = "5s"
        check_restart {
          limit = 6
          grace = "1m"
        }
      }
      dynamic "connect" {
        for_each = local.mesh ? [1] : []
        content {
          sidecar_service {}
        }
      }
    }

    task "s3" {
      driver       = "exec"
      user         = "nobody"
      kill_timeout = "30s"

      config {
        command = "${NOMAD_TASK_DIR}/${local.archive}/versitygw"
        args    = ["--quiet", "--port", ":${NOMAD_PORT_s3}", "--iam-dir", "${NOMAD_META_data}/users", "posix", "${NOMAD_META_data}/data"]
      }

      artifact {
        source      = "${var.releases}/v${var.version}/${local.archive}.tar.gz"
        destination = "local"
        options {
          checksum = var.checksum
        }
      }

      dynamic "vault" {
        for_each = var.vault ? [1] : []
        content {
          role         = "pdfmill-s3"
          change_mode  = "noop" # only the templates use the token
          env          = false
          disable_file = true
        }
      }

      volume_mount {
        volume      = "data"
        destination = "/data"
      }

      env {
        VGW_CERT = var.tls ? "${NOMAD_SECRETS_DIR}/cert.pem" : ""
        VGW_KEY  = var.tls ? "${NOMAD_SECRETS_DIR}/key.pem" : ""
      }

      template {
        destination          = "secrets/root.env"
        env                  = true
        error_on_missing_key = true
        data                 = <<-EOT
          ROOT_ACCESS_KEY=${local.secrets}{{ .root_access_key }}${local.end}
          ROOT_SECRET_KEY=${local.secrets}{{ .root_secret_key }}${local.end}
        EOT
      }

      # It reads a certificate at its start only.
      dynamic "template" {
        for_each = local.files
        iterator = file
        content {
          destination          = "secrets/${file.key}"
          change_mode          = "restart"
          splay                = "1m"
          perms                = "0400"
          uid                  = 65534
          gid                  = 65534
          error_on_missing_key = true
          data                 = "${local.secrets}{{ .${file.value} }}${local.end}\n"
        }
      }

      meta {
        data = "/data"
      }

      resources {
        cpu        = 1000
        memory     = 512
        memory_max = 2048
      }
    }
  }
}
