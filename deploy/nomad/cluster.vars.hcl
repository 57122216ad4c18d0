# What all jobs of a cluster share: copy it and change it. With -hcl2-strict=false each job takes what it knows.
releases = "https://releases.example.net/pdfmill"
version  = "1.0.0"
checksum = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
engines  = ["text"]
