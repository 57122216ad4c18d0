// Package nomad reads Nomad's job files and does on this machine what a task in them says, so that a test can see a document go through a deployment that
// exists only as files. Blocks and attributes are those of github.com/hashicorp/nomad/api, whose structs have them as field tags: what is not there is an
// error, as it is for Nomad.
package nomad
