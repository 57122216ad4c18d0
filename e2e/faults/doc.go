// Package faults causes every fault it can think of under the real service processes, a real NATS server and a real S3 gateway, each killed on its own, and
// then has an independent checker read streams and buckets. The short forms run with the other tests; `make test-faults` and `make soak` run the long ones
// and write the figures to docs/reliability.md.
package faults
