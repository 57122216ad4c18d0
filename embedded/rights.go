package embedded

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/s3api/utils"
)

type policy struct {
	Version   string
	Statement []statement
}

type statement struct {
	Effect    string
	Principal map[string][]string
	Action    []string
	Resource  []string
}

// holder is an account in a bucket.
type holder struct{ bucket, access string }

// GetBucketPolicy implements the gateway's backend. The gateway parses the policy at every request, which is a fifth of its work when many accounts have a part in
// it: an account that asks for something sees its own part. Whoever is no such account sees the whole.
func (b *backend) GetBucketPolicy(ctx context.Context, bucket string) ([]byte, error) {
	if who, ok := ctx.Value(string(utils.ContextKeyAccount)).(auth.Account); ok {
		if part, ok := b.parts[holder{bucket, who.Access}]; ok {
			return part, nil
		}
	}
	return b.Posix.GetBucketPolicy(ctx, bucket)
}

// setRights makes the first account the owner of each bucket and writes the others' grants as its policy, in place of what an earlier start left there.
func setRights(ctx context.Context, b *backend, c S3Config) error {
	for _, bucket := range c.Buckets {
		owner, err := json.Marshal(auth.ACL{Owner: c.Accounts[0].Access})
		if err != nil {
			return fmt.Errorf("encode owner of bucket %s: %w", bucket, err)
		}
		if err := b.PutBucketAcl(ctx, bucket, owner); err != nil {
			return fmt.Errorf("set owner of bucket %s: %w", bucket, err)
		}
		statements := grants(bucket, c.Accounts[1:])
		if len(statements) == 0 { // then only the owner has rights; a policy that says nothing would be malformed
			if err := b.DeleteBucketPolicy(ctx, bucket); err != nil {
				return fmt.Errorf("remove policy of bucket %s: %w", bucket, err)
			}
			continue
		}
		for _, a := range c.Accounts[1:] {
			if own := grants(bucket, []Account{a}); len(own) > 0 {
				if b.parts[holder{bucket, a.Access}], err = encode(bucket, own); err != nil {
					return err
				}
			}
		}
		text, err := encode(bucket, statements)
		if err != nil {
			return err
		}
		if err := b.PutBucketPolicy(ctx, bucket, text); err != nil {
			return fmt.Errorf("set policy of bucket %s: %w", bucket, err)
		}
	}
	return nil
}

func encode(bucket string, statements []statement) ([]byte, error) {
	text, err := json.Marshal(policy{Version: "2012-10-17", Statement: statements})
	if err != nil {
		return nil, fmt.Errorf("encode policy of bucket %s: %w", bucket, err)
	}
	return text, nil
}

// grants are the accounts' rights on one bucket.
func grants(bucket string, all []Account) []statement {
	var out []statement
	for _, a := range all {
		for _, g := range a.Grants {
			if g.Bucket != bucket {
				continue
			}
			onObjects := []string{"s3:GetObject", "s3:GetObjectAttributes"}
			onBucket := []string{"s3:ListBucket", "s3:GetBucketLocation"}
			if g.Write {
				onObjects = append(onObjects, "s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts")
				onBucket = append(onBucket, "s3:ListBucketMultipartUploads")
			}
			if g.Delete {
				onObjects = append(onObjects, "s3:DeleteObject")
			}
			who := map[string][]string{"AWS": {a.Access}}
			out = append(out,
				statement{"Allow", who, onObjects, []string{"arn:aws:s3:::" + bucket + "/" + g.Prefix + "*"}},
				statement{"Allow", who, onBucket, []string{"arn:aws:s3:::" + bucket}})
		}
	}
	return out
}
