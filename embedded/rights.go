package embedded

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

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
		statements := grants(bucket, slices.DeleteFunc(slices.Clone(c.Accounts[1:]), func(a Account) bool { return a.Private }))
		for _, a := range c.Accounts[1:] {
			if own := grants(bucket, []Account{a}); len(own) > 0 {
				if b.parts[holder{bucket, a.Access}], err = encode(bucket, own); err != nil {
					return err
				}
			}
		}
		if len(statements) == 0 { // then only the owner has rights; a policy that says nothing would be malformed
			if err := b.DeleteBucketPolicy(ctx, bucket); err != nil {
				return fmt.Errorf("remove policy of bucket %s: %w", bucket, err)
			}
			continue
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

// grants are the accounts' rights on one bucket, those with the same rights in one statement: a policy is kept in one attribute of the folder, for which some file
// systems have no more than 4 KiB.
func grants(bucket string, all []Account) []statement {
	var out []statement
	allow := func(who, resource string, actions ...string) {
		for _, s := range out {
			if s.Resource[0] == resource && slices.Equal(s.Action, actions) {
				if !slices.Contains(s.Principal["AWS"], who) {
					s.Principal["AWS"] = append(s.Principal["AWS"], who)
				}
				return
			}
		}
		out = append(out, statement{"Allow", map[string][]string{"AWS": {who}}, actions, []string{resource}})
	}
	for _, a := range all {
		for _, g := range a.Grants {
			if g.Bucket != bucket {
				continue
			}
			whole, objects := "arn:aws:s3:::"+bucket, "arn:aws:s3:::"+bucket+"/"+g.Prefix+"*"
			if !g.Blind {
				allow(a.Access, whole, "s3:ListBucket", "s3:GetBucketLocation")
			}
			allow(a.Access, objects, "s3:GetObject", "s3:GetObjectAttributes")
			if g.Write {
				if !g.Blind {
					allow(a.Access, whole, "s3:ListBucketMultipartUploads")
				}
				allow(a.Access, objects, "s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts")
			}
			if g.Delete {
				allow(a.Access, objects, "s3:DeleteObject")
			}
		}
	}
	return out
}
