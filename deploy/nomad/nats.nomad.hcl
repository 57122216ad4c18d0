# NATS with JetStream: one server, or a cluster of three or five, each on the node of its own where its data is.
# docs/deploy.md says what must be there before.

variable "namespace" { default = "default" }

variable "datacenters" {
  type    = list(string)
  default = ["*"]
}

# Addresses of the nodes, the one Nomad calls unique.network.ip-address: one, three or five.
variable "servers" {
  type = list(string)
}

# Release of nats-server, and its archive's checksum: sha256:…
variable "version" { default = "2.15.2" }
variable "checksum" {}
variable "arch" { default = "amd64" }
variable "releases" { default = "https://github.com/nats-io/nats-server/releases/download" }
# nomad, consul, or connect (Consul's mesh).
variable "discovery" { default = "nomad" }

# Secrets from Vault (kv/pdfmill/nats) instead of Nomad's variables (nomad/jobs/pdfmill-nats).
variable "vault" {
  type    = bool
  default = false
}

# Clients speak TLS; several servers always do with each other.
variable "tls" {
  type    = bool
  default = true
}

# Tenants have accounts of their own (docs/tenants.md). JetStream keeps streams by account: set it before the first start, or what is stored stays where it was, unseen.
variable "tenants" {
  type    = bool
  default = false
}

# Host volume for the streams, writable by nobody, on fast disks.
variable "data_volume" { default = "pdfmill-nats" }
# What JetStream may take of it.
variable "max_file_store" { default = "100GB" }

variable "ports" {
  type    = map(number)
  default = { client = 4222, cluster = 6222, monitor = 8222 }
}

locals {
  archive = "nats-server-v${var.version}-linux-${var.arch}"
  secrets = var.vault ? "{{ with secret \"kv/data/pdfmill/nats\" }}{{ with .Data.data }}" : "{{ with nomadVar \"nomad/jobs/pdfmill-nats\" }}{{ with . }}"
  end     = "{{ end }}{{ end }}"
  mesh    = var.discovery == "connect"
  # Whoever has a route may do everything, and routes go past a mesh's sidecars: servers know each other by certificates, whatever clients need.
  # users is what pdfmill topology users writes as nats-users.conf; accounts and imports are nats-accounts.conf and nats-imports.conf.
  files = merge({ "users.conf" = "users" }, var.tenants ? { "accounts.conf" = "accounts", "imports.conf" = "imports" } : {}, var.tls || length(var.servers) > 1 ? { "ca.pem" = "ca", "cert.pem" = "cert", "key.pem" = "key" } : {})
}

job "pdfmill-nats" {
  namespace   = var.namespace
  datacenters = var.datacenters
  type        = "service"

  # One after the other, each in step with the others before the next goes. No canary: ports and data are the node's.
  update {
    max_parallel      = 1
    auto_revert       = true
    health_check      = "checks"
    min_healthy_time  = "30s"
    healthy_deadline  = "15m"
    progress_deadline = "20m"
  }

  group "nats" {
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
    constraint {
      attribute = "${attr.cpu.arch}"
      value     = var.arch
    }

    network {
      mode = local.mesh ? "bridge" : "host"
      port "client" {
        static = var.ports["client"]
      }
      port "cluster" {
        static = var.ports["cluster"]
      }
      port "monitor" {
        static = var.ports["monitor"]
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
      name     = "pdfmill-nats"
      port     = "client"
      provider = var.discovery == "nomad" ? "nomad" : "consul"

      # In step with the cluster, or not for clients yet. A server that is behind must not be ended for it.
      check {
        name     = "in-step"
        type     = "http"
        port     = "monitor"
        path     = "/healthz?js-server-only=true"
        interval = "10s"
        timeout  = "5s"
      }
      check {
        name     = "alive"
        type     = "http"
        port     = "monitor"
        path     = "/varz"
        interval = "10s"
        timeout  = "5s"
        check_restart {
          limit = 6
          grace = "5m"
        }
      }

      dynamic "connect" {
        for_each = local.mesh ? [1] : []
        content {
          sidecar_service {}
        }
      }
    }

    task "nats" {
      driver = "exec"
      user   = "nobody"
      # Lame duck: leaders move, then clients are sent away one by one, over 30 s.
      kill_signal  = "SIGUSR2"
      kill_timeout = "75s"

      config {
        command = "${NOMAD_TASK_DIR}/${local.archive}/nats-server"
        args    = ["--config", "${NOMAD_SECRETS_DIR}/nats.conf"]
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
          role         = "pdfmill-nats"
          change_mode  = "noop" # only the templates use the token
          env          = false
          disable_file = true
        }
      }

      volume_mount {
        volume      = "data"
        destination = "/data"
      }

      # A SIGHUP makes the server read users and certificates again; nobody is disconnected who may stay.
      template {
        destination   = "secrets/nats.conf"
        change_mode   = "signal"
        change_signal = "SIGHUP"
        perms         = "0400"
        uid           = 65534
        gid           = 65534
        data          = <<-EOT
          server_name: "{{ env "node.unique.name" }}"
          listen: "0.0.0.0:{{ env "NOMAD_PORT_client" }}"
          http: "0.0.0.0:{{ env "NOMAD_PORT_monitor" }}"
          lame_duck_duration: "30s"
          lame_duck_grace_period: "5s"
          max_payload: 1MB
          jetstream {
            store_dir: "{{ env "NOMAD_META_data" }}"
            max_file_store: ${var.max_file_store}
            sync_interval: always
          }
          %{~if var.tenants}
          accounts {
            PDFMILL {
              jetstream: enabled
              include "users.conf"
              include "imports.conf"
            }
            include "accounts.conf"
          }
          %{~else}
          authorization {
            include "users.conf"
          }
          %{~endif}
          %{~if var.tls}
          tls {
            ca_file: "{{ env "NOMAD_SECRETS_DIR" }}/ca.pem"
            cert_file: "{{ env "NOMAD_SECRETS_DIR" }}/cert.pem"
            key_file: "{{ env "NOMAD_SECRETS_DIR" }}/key.pem"
          }
          %{~endif}
          %{~if length(var.servers) > 1}
          cluster {
            name: "pdfmill"
            listen: "0.0.0.0:{{ env "NOMAD_PORT_cluster" }}"
            no_advertise: ${local.mesh}
            routes: ${jsonencode([for s in var.servers : "nats://${s}:${var.ports["cluster"]}"])}
            tls {
              ca_file: "{{ env "NOMAD_SECRETS_DIR" }}/ca.pem"
              cert_file: "{{ env "NOMAD_SECRETS_DIR" }}/cert.pem"
              key_file: "{{ env "NOMAD_SECRETS_DIR" }}/key.pem"
              verify: true
            }
          }
          %{~endif}
        EOT
      }

      dynamic "template" {
        for_each = local.files
        iterator = file
        content {
          destination          = "secrets/${file.key}"
          change_mode          = "signal"
          change_signal        = "SIGHUP"
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
        cpu        = 2000
        memory     = 2048
        memory_max = 4096
      }

      logs {
        max_files     = 5
        max_file_size = 20
      }
    }
  }
}
