// Package supervise keeps runner processes: it starts them with nothing inherited, talks to them, finds out why they died, ends them for
// certain, and holds a pool of them ready. It knows what a worker is, and nothing of brokers, stores or what fits into a device.
//
// A Process is one runner and one conversation. It is never repaired: after a failure that may have damaged it, it is killed with its
// whole process group, and a fresh one takes its place. A Pool is a number of places ("workers") that each hold a Process when they can.
package supervise
