package rights

import "github.com/pdfmill/pdfmill/embedded"

// Policy is an IAM policy document, as AWS and MinIO attach it to a user.
type Policy struct {
	Version   string
	Statement []Statement
}

// Statement of a Policy.
type Statement struct {
	Effect   string
	Action   []string
	Resource []string
}

// PolicyOf says grants in IAM's words. Listing is allowed in the whole bucket: without it a store answers "forbidden" for a key that is just not there.
func PolicyOf(grants []embedded.Grant) Policy {
	p := Policy{Version: "2012-10-17"}
	for _, g := range grants {
		bucket, objects := "arn:aws:s3:::"+g.Bucket, "arn:aws:s3:::"+g.Bucket+"/"+g.Prefix+"*"
		actions := []string{"s3:GetObject"}
		if g.Write {
			actions = append(actions, "s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts")
		}
		if g.Delete {
			actions = append(actions, "s3:DeleteObject")
		}
		p.Statement = append(p.Statement,
			Statement{"Allow", []string{"s3:ListBucket", "s3:GetBucketLocation"}, []string{bucket}},
			Statement{"Allow", actions, []string{objects}})
	}
	return p
}
