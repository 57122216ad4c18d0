# topology: makes streams, consumers, KV buckets and object buckets, or changes them as a new release declares. Run it before the services, at first and at
# every upgrade; it ends when all is there, and refuses what would lose data. docs/deploy.md says what must be there before.

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
# exec isolates the task in a chroot; raw_exec where that can't be had.
variable "driver" { default = "exec" }
# How the servers are found: nomad, consul, or connect (Consul's mesh, through sidecars).
variable "discovery" { default = "nomad" }

# Secrets from Vault (kv/pdfmill/topology) instead of Nomad's variables (nomad/jobs/pdfmill-topology).
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

# Of each stream: 3 in a cluster of three NATS servers or more.
variable "replicas" {
  type    = number
  default = 3
}

# Messages that wait at most for each stage, engine and lane; then whoever would add one waits, back to ingest.
variable "max_queued" {
  type    = number
  default = 1000000
}

# Bound of the events that subscribers can catch up on, in bytes; the oldest go.
variable "events_max_bytes" {
  type    = number
  default = 8589934592
}

variable "engines" {
  type    = list(string)
  default = ["text"]
}

# Declaration of all tenants, as JSON (docs/tenants.md): -var "tenants=$(cat tenants.json)"; "": those that were declared before stay.
variable "tenants" { default = "" }

# The bucket to make for drops; several, separated by commas.
variable "inbox_bucket" { default = "inbox" }

locals {
  archive = "pdfmill_${var.version}_linux_${var.arch}"

  # Opens what holds this job's secrets; both ways have the same names in it.
  secrets = var.vault ? "{{ with secret \"kv/data/pdfmill/topology\" }}{{ with .Data.data }}" : "{{ with nomadVar \"nomad/jobs/pdfmill-topology\" }}{{ with . }}"
  end     = "{{ end }}{{ end }}"

  mesh   = var.discovery == "connect"
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

job "pdfmill-topology" {
  namespace   = var.namespace
  datacenters = var.datacenters
  type        = "batch"

  constraint {
    attribute = "${attr.cpu.arch}"
    value     = var.arch
  }

  group "topology" {
    # The servers may still be starting.
    restart {
      attempts         = 20
      interval         = "10m"
      delay            = "10s"
      mode             = "fail"
      render_templates = true
    }
    reschedule {
      attempts  = 0
      unlimited = false
    }

    network {
      mode = local.mesh ? "bridge" : "host"
    }

    dynamic "service" {
      for_each = local.mesh ? [1] : []
      content {
        name     = "pdfmill-topology"
        provider = "consul"
        connect {
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

    task "topology" {
      driver = var.driver
      user   = "nobody"

      config {
        command = "${NOMAD_TASK_DIR}/${local.archive}/pdfmill"
        args    = ["topology", "apply"]
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
          role         = "pdfmill-topology"
          change_mode  = "noop" # only the templates use the token
          env          = false
          disable_file = true
        }
      }

      env {
        PDFMILL_REPLICAS           = var.replicas
        PDFMILL_MAX_QUEUED         = var.max_queued
        PDFMILL_EVENTS_MAX_BYTES   = var.events_max_bytes
        PDFMILL_ENGINES            = join(",", var.engines)
        PDFMILL_INBOX              = var.inbox_bucket
        PDFMILL_NATS_NKEY          = "${NOMAD_SECRETS_DIR}/nats.nk"
        PDFMILL_NATS_CA            = var.tls ? "${NOMAD_SECRETS_DIR}/ca.pem" : ""
        PDFMILL_S3_SECRET_KEY_FILE = "${NOMAD_SECRETS_DIR}/s3.key"
        PDFMILL_S3_CA              = var.tls ? "${NOMAD_SECRETS_DIR}/ca.pem" : ""
      }

      template {
        destination          = "secrets/servers.env"
        env                  = true
        error_on_missing_key = true
        data                 = <<-EOT
          PDFMILL_NATS_URL=${local.nats}
          PDFMILL_S3_ENDPOINT=${local.s3}
          PDFMILL_S3_ACCESS_KEY=${local.secrets}{{ .s3_access_key }}${local.end}
          %{~if var.tenants != ""}
          PDFMILL_TENANTS={{ env "NOMAD_TASK_DIR" }}/tenants.json
          %{~endif}
        EOT
      }

      dynamic "template" {
        for_each = var.tenants != "" ? [var.tenants] : []
        iterator = declaration
        content {
          destination = "local/tenants.json"
          data        = "${declaration.value}\n"
        }
      }

      dynamic "template" {
        for_each = local.files
        iterator = file
        content {
          destination          = "secrets/${file.key}"
          perms                = "0400"
          uid                  = 65534
          gid                  = 65534
          error_on_missing_key = true
          data                 = "${local.secrets}{{ .${file.value} }}${local.end}\n"
        }
      }

      resources {
        cpu    = 200
        memory = 128
      }
    }
  }
}
