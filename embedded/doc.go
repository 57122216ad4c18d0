// Package embedded runs the servers that pdfmill stands on, NATS and an S3 gateway, inside this process: the default on one machine. Nobody else links
// their code; the services can't tell the difference.
//
// StartS3 changes the working directory of the whole process to S3Config.Dir, because the gateway's backend works with relative paths. So there is one
// gateway a process, it wants an absolute Dir, and whoever uses it must make every other path absolute before.
//
// Each Dir is locked while its server runs: a second pdfmill on it is refused.
package embedded
