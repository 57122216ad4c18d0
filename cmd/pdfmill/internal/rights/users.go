package rights

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/pdfmill/pdfmill/pipeline/jet"
)

// Files that Write makes: UsersFile for the NATS servers to include, a seed for each role, a policy for each role that
// stores or reads objects, and the same as a policy for each bucket.
const (
	UsersFile          = "nats-users.conf"
	seedSuffix         = ".nk"
	policySuffix       = "-s3-policy.json"
	bucketPolicySuffix = "-bucket-policy.json"
)

// SeedFile is where a role's seed lies.
func SeedFile(dir, role string) string { return filepath.Join(dir, role+seedSuffix) }

// BucketPolicyFile is where a bucket's policy lies.
func BucketPolicyFile(dir, bucket string) string {
	return filepath.Join(dir, bucket+bucketPolicySuffix)
}

// PolicyFile is where a role's policy lies.
func PolicyFile(dir, role string) string { return filepath.Join(dir, role+policySuffix) }

type user struct {
	NKey        string       `json:"nkey"`
	Permissions *permissions `json:"permissions,omitempty"`
}

type permissions struct {
	Publish   rule `json:"publish"`
	Subscribe rule `json:"subscribe"`
}

type rule struct {
	Allow []string `json:"allow"`
	Deny  []string `json:"deny,omitempty"`
}

// Write puts every role's identity and rights into dir. Seeds that are there are kept, so that it can be run again after each change of topology or version;
// they are readable by their owner only, and the other files hold no secret.
//
// Tenants get the same, and accounts of their own beside pdfmill's, which is named account.
func Write(dir string, t jet.Topology, b Buckets, account string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("folder for users: %w", err)
	}
	users := make([]user, 0, len(jet.Roles()))
	for _, role := range jet.Roles() {
		u, err := userOf(dir, role, t)
		if err != nil {
			return err
		}
		users = append(users, u)
		if grants := b.Grants(role); grants != nil {
			if err := writeJSON(PolicyFile(dir, role), "", PolicyOf(grants)); err != nil {
				return err
			}
		}
	}
	if err := writeTenants(dir, t.Tenants, b, account); err != nil {
		return err
	}
	for bucket, policy := range b.BucketPolicies(jet.Roles(), t.Tenants) {
		data, err := json.Marshal(policy) // as short as it can be
		if err == nil {
			err = os.WriteFile(BucketPolicyFile(dir, bucket), data, 0o600)
		}
		if err != nil {
			return fmt.Errorf("policy of bucket %s: %w", bucket, err)
		}
	}
	// JSON is what NATS' configuration understands too; include it in authorization {} or in an account.
	return writeJSON(filepath.Join(dir, UsersFile), "users: ", users)
}

func userOf(dir, role string, t jet.Topology) (user, error) {
	public, err := publicKey(SeedFile(dir, role))
	if err != nil {
		return user{}, fmt.Errorf("key of %s: %w", role, err)
	}
	r, err := t.Rights(role)
	if err != nil {
		return user{}, err
	}
	u := user{NKey: public}
	if role != jet.RoleAdmin {
		u.Permissions = allowed(r)
	}
	return u, nil
}

func allowed(r jet.Rights) *permissions {
	return &permissions{rule{r.Publish, r.DenyPublish}, rule{r.Subscribe, r.DenySubscribe}}
}

// publicKey reads the seed in a file, or makes one there.
func publicKey(path string) (string, error) {
	seed, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if seed, err = jet.NewSeed(); err != nil {
			return "", err
		}
		if err := writeOnce(path, seed); err != nil {
			return "", err
		}
	} else if err != nil {
		return "", err
	}
	public, err := jet.PublicKey(seed)
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return public, nil
}

// writeOnce refuses to replace a file: somebody may use what it holds.
func writeOnce(path string, content []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(append(content, '\n'))
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		_ = os.Remove(path) // half a key would be kept, and refused ever after
	}
	return err
}

func writeJSON(path, before string, v any) error {
	content := bytes.NewBufferString(before)
	encoder := json.NewEncoder(content)
	encoder.SetEscapeHTML(false) // NATS knows no escapes in subjects
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(v); err != nil {
		return fmt.Errorf("marshal %s: %w", path, err)
	}
	return os.WriteFile(path, content.Bytes(), 0o600)
}
