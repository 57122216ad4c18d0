# An object store: MinIO, for those who have it. Its repository was archived in February 2026: for a new one, see versitygw.nomad.hcl.
# docs/deploy.md says what must be there before.

variable "namespace" { default = "default" }

variable "datacenters" {
  type    = list(string)
  default = ["*"]
}

# Addresses of the nodes: one, or four and more, each with a disk of its own.
variable "servers" {
  type = list(string)
}

# Where the binary is, and its checksum: sha256:…
variable "binary" {}
variable "checksum" {}
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

# NATS servers that MinIO tells of what is dropped (HOST:PORT,…); "": ingest finds it by listing. Buckets must be told to, too: docs/deploy.md.
variable "nats_servers" { default = "" }
# Host volume for the objects, writable by nobody.
variable "data_volume" { default = "pdfmill-s3" }

variable "port" {
  type    = number
  default = 9000
}

locals {
  secrets = var.vault ? "{{ with secret \"kv/data/pdfmill/s3\" }}{{ with .Data.data }}" : "{{ with nomadVar \"nomad/jobs/pdfmill-s3\" }}{{ with . }}"
  end     = "{{ end }}{{ end }}"
  mesh    = var.discovery == "connect"
  scheme  = var.tls ? "https" : "http"
  # The names that MinIO looks for in its folder of certificates.
  files  = merge(var.nats_servers != "" ? { "gateway.nk" = "nats_nkey" } : {}, var.tls ? { "certs/public.crt" = "cert", "certs/private.key" = "key", "certs/CAs/ca.pem" = "ca" } : {})
  drives = length(var.servers) > 1 ? [for s in var.servers : "${local.scheme}://${s}:${var.port}/data"] : ["/data"]
}

job "pdfmill-s3" {
  namespace   = var.namespace
  datacenters = var.datacenters
  type        = "service"

  update {
    max_parallel      = 1
    auto_revert       = true
    health_check      = "checks"
    min_healthy_time  = "30s"
    healthy_deadline  = "10m"
    progress_deadline = "15m"
  }

  group "s3" {
    count = length(var.servers)

    constraint {
      operator = "distinct_hosts"
      value    = "true"
    }
    constraint {
      attribute = "${attr.unique.network.ip-address}"
      operator  = "set_contains_any"
      value     = join(",", var.servers)
    }

    network {
      mode = local.mesh ? "bridge" : "host"
      port "s3" {
        static = var.port
      }
    }

    # Its data is here: it starts here again, however often it takes, and nowhere else.
    restart {
      attempts         = 10
      interval         = "10m"
      delay            = "5s"
      mode             = "delay"
      render_templates = true
    }
    reschedule {
      attempts  = 0
      unlimited = false
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
        name            = "alive"
        type            = "http"
        protocol        = local.scheme
        tls_skip_verify = true # asked by address
        path            = "/minio/health/live"
        interval        = "10s"
        timeout         = "5s"
        check_restart {
          limit = 6
          grace = "2m"
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
        command = "${NOMAD_TASK_DIR}/minio"
        args    = concat(["server", "--quiet", "--address", ":${NOMAD_PORT_s3}", "--certs-dir", "${NOMAD_SECRETS_DIR}/certs"], local.drives)
      }

      artifact {
        source      = var.binary
        destination = "local/minio"
        mode        = "file"
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

      template {
        destination          = "secrets/minio.env"
        env                  = true
        error_on_missing_key = true
        data                 = <<-EOT
          MINIO_ROOT_USER=${local.secrets}{{ .root_access_key }}${local.end}
          MINIO_ROOT_PASSWORD=${local.secrets}{{ .root_secret_key }}${local.end}
          %{~if var.nats_servers != ""}
          MINIO_NOTIFY_NATS_ENABLE_PDFMILL=on
          MINIO_NOTIFY_NATS_ADDRESS_PDFMILL=${var.nats_servers}
          MINIO_NOTIFY_NATS_SUBJECT_PDFMILL=pdf.dropped
          MINIO_NOTIFY_NATS_JETSTREAM_PDFMILL=on
          MINIO_NOTIFY_NATS_NKEY_SEED_PDFMILL={{ env "NOMAD_SECRETS_DIR" }}/gateway.nk
          MINIO_NOTIFY_NATS_QUEUE_DIR_PDFMILL={{ env "NOMAD_ALLOC_DIR" }}/data/events
          %{~if var.tls}
          MINIO_NOTIFY_NATS_TLS_PDFMILL=on
          MINIO_NOTIFY_NATS_CERT_AUTHORITY_PDFMILL={{ env "NOMAD_SECRETS_DIR" }}/certs/CAs/ca.pem
          %{~endif}
          %{~endif}
        EOT
      }

      dynamic "template" {
        for_each = local.files
        iterator = file
        content {
          destination          = "secrets/${file.key}"
          change_mode          = "noop" # MinIO watches its certificates
          perms                = "0400"
          uid                  = 65534
          gid                  = 65534
          error_on_missing_key = true
          # MinIO refuses a key with an empty line after it.
          data = "${local.secrets}{{ printf \"%v\" .${file.value} | trimSpace }}${local.end}\n"
        }
      }

      resources {
        cpu        = 2000
        memory     = 2048
        memory_max = 8192
      }
    }
  }
}
