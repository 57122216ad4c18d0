// Package batch converts a list of files: it finds them, drops each into the pipeline's inbox, waits for what became of it, and writes the Markdown,
// the images and a report into a directory, so that the same command again continues with what is missing.
package batch
