// Package cluster runs pdfmill as it runs past one machine: hosts that are network namespaces, three NATS servers that keep three replicas of each stream, a
// real MinIO, TLS with client certificates everywhere, and two replicas of each service, each with the credentials of its role that `pdfmill topology users`
// makes and no others. It breaks what can break there, and has the independent checker look.
//
// The whole test runs in namespaces of its own, so that whatever happens to it leaves nothing behind. Where the kernel allows none, the hosts are
// addresses of the loopback, and a host that is cut off is one whose server stands still.
//
// Its tests have the build tag cluster, because they need MinIO, which takes minutes to compile once: `make test-cluster` runs them.
package cluster
