package tenant

import (
	"fmt"
	"strconv"
	"time"
)

// Usage is what a tenant has used on a day.
type Usage struct {
	Documents     int64   `json:"documents"`
	Bytes         int64   `json:"bytes"`
	DeviceSeconds float64 `json:"device_seconds"`
}

// Plus is both together.
func (u Usage) Plus(v Usage) Usage {
	return Usage{Documents: u.Documents + v.Documents, Bytes: u.Bytes + v.Bytes, DeviceSeconds: u.DeviceSeconds + v.DeviceSeconds}
}

// Quota is one of a tenant's.
type Quota struct {
	Name  string  `json:"quota"` // documents | bytes | device-seconds
	Used  float64 `json:"used"`
	Limit float64 `json:"limit"` // 0: none
}

// Quotas of a tenant that has used so much.
func (t Tenant) Quotas(u Usage) []Quota {
	return []Quota{
		{"documents", float64(u.Documents), float64(t.Documents)},
		{"bytes", float64(u.Bytes), float64(t.Bytes)},
		{"device-seconds", u.DeviceSeconds, t.DeviceSeconds},
	}
}

// Exceeded says that a quota is used up, and until when.
type Exceeded struct {
	Tenant string `json:"tenant"`
	Quota
	Until time.Time `json:"until"`
}

// String is a sentence for a person.
func (e Exceeded) String() string {
	number := func(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) }
	return fmt.Sprintf("tenant %s has used %s of %s %s of today; it goes on at %s", e.Tenant, number(e.Used), number(e.Limit), e.Name, e.Until.Format(time.RFC3339))
}

// Over is the first quota that is used up, nil while none is. The last document that is taken may go beyond a quota of bytes, and what is in work beyond one of
// seconds: what a document costs is known afterwards, and one that is larger than a quota must come through some day.
func (t Tenant) Over(u Usage, now time.Time) *Exceeded {
	for _, q := range t.Quotas(u) {
		if q.Limit > 0 && q.Used >= q.Limit {
			return &Exceeded{Tenant: t.Name, Quota: q, Until: next(now)}
		}
	}
	return nil
}

// Day is the name of the day on which something counts.
func Day(now time.Time) string { return now.UTC().Format(time.DateOnly) }

// next is when the next day begins.
func next(now time.Time) time.Time { return now.UTC().Truncate(24 * time.Hour).Add(24 * time.Hour) }
