package rights

import (
	"slices"

	"github.com/pdfmill/pdfmill/embedded"
	"github.com/pdfmill/pdfmill/pipeline/tenant"
)

// Policy is an IAM policy document: of a user, as AWS and MinIO attach it, or of a bucket, when its statements have principals.
type Policy struct {
	Version   string
	Statement []Statement
}

// Statement of a Policy.
type Statement struct {
	Effect    string
	Principal map[string][]string `json:",omitempty"` // in a bucket's policy
	Action    []string
	Resource  []string
}

// PolicyOf says grants in IAM's words. Listing is allowed in the whole bucket: without it a store answers "forbidden" for a key that is just not there.
func PolicyOf(grants []embedded.Grant) Policy {
	p := Policy{Version: "2012-10-17"}
	for _, g := range grants {
		p.grant(g, "")
	}
	return p
}

// BucketPolicies are the same grants as policies of the buckets, for stores whose users have none of their own, like versitygw. Users have their roles' names.
func (b Buckets) BucketPolicies(roles []string, tenants tenant.Set) map[string]Policy {
	all := map[string]Policy{}
	add := func(who string, grants []embedded.Grant) {
		for _, g := range grants {
			p := all[g.Bucket]
			p.Version = "2012-10-17"
			p.grant(g, who)
			all[g.Bucket] = p
		}
	}
	for _, role := range roles {
		add(role, b.Grants(role))
	}
	for _, t := range tenants {
		add(TenantUser(t.Name), b.TenantGrants(t))
	}
	return all
}

// grant adds what a grant allows a principal ("" where the policy is its own).
func (p *Policy) grant(g embedded.Grant, who string) {
	bucket, objects := "arn:aws:s3:::"+g.Bucket, "arn:aws:s3:::"+g.Bucket+"/"+g.Prefix+"*"
	if !g.Blind {
		p.allow(who, bucket, "s3:ListBucket", "s3:GetBucketLocation")
	}
	p.allow(who, objects, "s3:GetObject")
	if g.Write {
		p.allow(who, objects, "s3:PutObject", "s3:AbortMultipartUpload")
	}
	if g.Delete {
		p.allow(who, objects, "s3:DeleteObject")
	}
}

// allow adds to the statement that allows the same already, so that a policy stays within what stores keep (versitygw on ext4: 4 KiB).
func (p *Policy) allow(who, resource string, actions ...string) {
	for _, s := range p.Statement {
		if s.Resource[0] != resource || !slices.Equal(s.Action, actions) {
			continue
		}
		if who != "" && !slices.Contains(s.Principal["AWS"], who) {
			s.Principal["AWS"] = append(s.Principal["AWS"], who)
		}
		return
	}
	s := Statement{Effect: "Allow", Action: actions, Resource: []string{resource}}
	if who != "" {
		s.Principal = map[string][]string{"AWS": {who}}
	}
	p.Statement = append(p.Statement, s)
}
