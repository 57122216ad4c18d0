package lifecycle

// Version of pdfmill, stamped by the build.
var Version = "dev"
