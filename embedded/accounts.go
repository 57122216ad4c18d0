package embedded

import (
	"errors"

	"github.com/versity/versitygw/auth"
)

// errFixed answers attempts to change accounts.
var errFixed = errors.New("accounts of the embedded gateway are fixed by its configuration")

// accounts is the gateway's view of who may sign requests: fixed at the start, nothing on disk.
type accounts []Account

// GetUserAccount implements auth.IAMService.
func (all accounts) GetUserAccount(access string) (auth.Account, error) {
	for _, a := range all {
		if a.Access == access {
			return auth.Account{Access: a.Access, Secret: a.Secret, Role: auth.RoleUser}, nil
		}
	}
	return auth.Account{}, auth.ErrNoSuchUser
}

// ResolveAccounts implements auth.IAMService: it returns those that do not exist.
func (all accounts) ResolveAccounts(access []string) ([]string, error) {
	var unknown []string
	for _, name := range access {
		if _, err := all.GetUserAccount(name); err != nil {
			unknown = append(unknown, name)
		}
	}
	return unknown, nil
}

// CreateAccount implements auth.IAMService, like the following: accounts are configuration.
func (accounts) CreateAccount(auth.Account) error { return errFixed }

// UpdateUserAccount is not supported.
func (accounts) UpdateUserAccount(string, auth.MutableProps) error { return errFixed }

// DeleteUserAccount is not supported.
func (accounts) DeleteUserAccount(string) error { return errFixed }

// ListUserAccounts is not supported.
func (accounts) ListUserAccounts() ([]auth.Account, error) { return nil, errFixed }

// Shutdown has nothing to do.
func (accounts) Shutdown() error { return nil }

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

// bucketPolicy allows what the grants on a bucket say. Without any, a policy that allows the impossible stands in: an empty one is refused.
func bucketPolicy(bucket string, all []Account) policy {
	p := policy{Version: "2012-10-17"}
	for _, a := range all {
		for _, g := range a.Grants {
			if g.Bucket != bucket {
				continue
			}
			actions := []string{"s3:GetObject", "s3:GetObjectAttributes"}
			onBucket := []string{"s3:ListBucket", "s3:GetBucketLocation"}
			if g.Write {
				actions = append(actions, "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts")
				onBucket = append(onBucket, "s3:ListBucketMultipartUploads")
			}
			who := map[string][]string{"AWS": {a.Access}}
			p.Statement = append(p.Statement,
				statement{"Allow", who, actions, []string{"arn:aws:s3:::" + bucket + "/*"}},
				statement{"Allow", who, onBucket, []string{"arn:aws:s3:::" + bucket}})
		}
	}
	return p
}
