package job

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/document"
	"github.com/pdfmill/pdfmill/pipeline/pages"
)

// Job is the work that one accepted drop asks for. It travels in every message, so that a message alone is enough to go on with.
//
// ID names the work (same bytes, same options, same engine: same ID, done once). Drop names who asked: two identical files in two
// places are one ID and two Drops, and each Drop gets its own terminal event. Pass counts the times this drop was sent through:
// 0 at first, one more at every replay. What an earlier pass did well is kept; what it failed at is tried again.
type Job struct {
	ID     string          `json:"job"`
	Drop   string          `json:"drop"`
	Pass   int             `json:"pass"`
	Source document.Source `json:"source"`
	// Tenant whose source it was, "" where there is none. What is done for one tenant is never another's, not even the same bytes.
	Tenant        string    `json:"tenant,omitempty"`
	Options       Options   `json:"options"`
	CorrelationID string    `json:"correlation_id,omitempty"`
	AcceptedAt    time.Time `json:"accepted_at"`
	// BeganAt is when a replay started this pass; zero for the first.
	BeganAt time.Time `json:"began_at,omitzero"`
	// Generation is the least generation of good results that this pass may use, and the one of those it makes; see RangePrefix.
	Generation int64 `json:"generation,omitempty"`
}

// New identifies the work that a drop asks for.
func New(source document.Source, options Options, correlationID string, now time.Time) Job {
	return Job{
		ID: ID(source.SHA256, options), Drop: document.Digest("drop", source.Version(), source.SHA256, correlationID),
		Source: source, Options: options, CorrelationID: correlationID, AcceptedAt: now.UTC(),
	}
}

// ID is hex(sha256(source hash, the options that change the output, engine family)), cut to 32 digits. Priority, timeout, needs and
// the password's name change when, where and how, not what.
func ID(sourceSHA256 string, o Options) string { return id("", sourceSHA256, o) }

// For is the job as a tenant's.
func (j Job) For(tenant string) Job {
	j.Tenant = tenant
	return j.Identified()
}

// Identified is the job with the ID that its source, options and tenant give it.
func (j Job) Identified() Job {
	j.ID = id(j.Tenant, j.Source.SHA256, j.Options)
	return j
}

func id(tenant, sourceSHA256 string, o Options) string {
	policy := ""
	if o.Engine == EngineAuto {
		policy = o.Auto
	}
	canonical, _ := json.Marshal(struct { // field order is the canonical order; never reorder
		Pages    pages.Set         `json:"pages"`
		ForceOCR bool              `json:"force_ocr"`
		Output   string            `json:"output"`
		Images   bool              `json:"images"`
		Engine   map[string]string `json:"engine_options,omitempty"` // a map's keys are written in order
		Auto     string            `json:"auto,omitempty"`
	}{o.Pages, o.ForceOCR, o.Output, o.Images, o.EngineOptions, policy})
	named := fmt.Appendf(nil, "%s\n%s\n%s", sourceSHA256, canonical, o.Engine)
	if tenant != "" {
		named = append(named, "\n"+tenant...)
	}
	sum := sha256.Sum256(named)
	return hex.EncodeToString(sum[:])[:32]
}

// PassID names this pass of this drop: effects that belong to a pass, not to the work, are keyed by it.
func (j Job) PassID() string { return fmt.Sprintf("%s-%d", j.Drop, j.Pass) }

// Began is when this pass was started, by the clock of whoever started it.
func (j Job) Began() time.Time {
	if j.BeganAt.IsZero() {
		return j.AcceptedAt
	}
	return j.BeganAt
}

// Validate reports what a message with this job lacks; it guards every stage's entrance.
func (j Job) Validate() error {
	switch {
	case !isHex(j.ID, 32):
		return fmt.Errorf("job id %q is not 32 hex digits", j.ID)
	case !isHex(j.Drop, 32):
		return fmt.Errorf("drop id %q is not 32 hex digits", j.Drop)
	case !isHex(j.Source.SHA256, 64):
		return fmt.Errorf("source sha256 %q is not 64 hex digits", j.Source.SHA256)
	case j.Pass < 0:
		return fmt.Errorf("pass %d is negative", j.Pass)
	}
	return nil
}

func isHex(s string, digits int) bool {
	_, err := hex.DecodeString(s)
	return err == nil && len(s) == digits
}

// Prefix is where everything of this job lives in pdfmill's bucket.
func (j Job) Prefix() string {
	if j.Tenant != "" {
		return TenantPrefix(j.Tenant) + j.ID + "/"
	}
	return Jobs + j.ID + "/"
}

// Jobs is where jobs of no tenant live, Tenants where those of each tenant do.
const (
	Jobs    = "jobs/"
	Tenants = "tenants/"
)

// TenantPrefix is where all jobs of a tenant live: what nobody but the tenant may read.
func TenantPrefix(tenant string) string { return Tenants + tenant + "/" }

// ParseKey takes the key of something that a job holds apart: whose it is, and where it lies below the job's Prefix. ok is false for other keys.
func ParseKey(key string) (j Job, below string, ok bool) {
	rest, is := strings.CutPrefix(key, Jobs)
	if !is {
		if rest, is = strings.CutPrefix(key, Tenants); !is {
			return j, "", false
		}
		if j.Tenant, rest, is = strings.Cut(rest, "/"); !is {
			return j, "", false
		}
	}
	j.ID, below, is = strings.Cut(rest, "/")
	return j, below, is
}

// RangePrefix is where the good result of a range lives: it is the work's, so any pass of any drop may use it. Results of a later generation lie beside
// those of earlier ones, so that neither converting again nor sweeping ever takes away what a pass that is under way relies on.
func (j Job) RangePrefix(r pages.Range) string {
	dir := r.Dir()
	if j.Generation > 0 {
		dir += generationMark + strconv.FormatInt(j.Generation, 10)
	}
	return j.Prefix() + "ranges/" + dir + "/"
}

const generationMark = "@"

// ParseRangeDir reads the name of a folder that RangePrefix made.
func ParseRangeDir(name string) (r pages.Range, generation int64, err error) {
	dir, mark, marked := strings.Cut(name, generationMark)
	if marked {
		if generation, err = strconv.ParseInt(mark, 10, 64); err != nil || generation < 1 {
			return r, 0, fmt.Errorf("folder %q of a range: generation %q is not a positive number", name, mark)
		}
	}
	r, err = pages.ParseDir(dir)
	return r, generation, err
}

// SweepMark is the key by which a sweep says that it may take away every good result below a generation: a pass that is planned from then on uses and makes
// only those of that generation and later ones.
func (j Job) SweepMark(generation int64) string {
	return j.Prefix() + "ranges/" + sweepMark + strconv.FormatInt(generation, 10)
}

const sweepMark = "swept" + generationMark

// ParseSweepMark reads the last part of a key that SweepMark made.
func ParseSweepMark(name string) (generation int64, ok bool) {
	text, is := strings.CutPrefix(name, sweepMark)
	generation, err := strconv.ParseInt(text, 10, 64)
	return generation, is && err == nil && generation > 0
}

// PassPrefix is where what only counts for this pass lives: failed and degraded pages, which the next pass tries again.
func (j Job) PassPrefix() string { return j.Prefix() + "passes/" + j.PassID() + "/" }

// RevisionPrefix is where a final product lives.
func (j Job) RevisionPrefix(revision int) string { return fmt.Sprintf("%sr%d/", j.Prefix(), revision) }
