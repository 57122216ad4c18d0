//go:build !crashpoints

package crashpoint

// Reach says that a stage has come to a step.
func Reach(_, _ string) {}
