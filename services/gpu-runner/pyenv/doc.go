// Package pyenv builds the Python environment that runners live in, from the runner's sources that are part of this binary: on first use, once for all
// processes of the machine, and again when it is broken. Whatever it does it says, since it may take minutes and fetches packages.
package pyenv
