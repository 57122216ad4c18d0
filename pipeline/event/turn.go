package event

import (
	"fmt"
	"hash/fnv"
	"strings"

	"github.com/pdfmill/pdfmill/pipeline/job"
)

// SourceLanes is how many lanes there are for drops. Sources share a lane by chance, one in so many; the lanes take turns.
const SourceLanes = 16

// laneUrgent is for drops that are known to be urgent. It takes no turns.
const laneUrgent = "urgent"

// SubjectsDropped is every subject on which drops wait: of the lanes, of what is urgent, and the one for who can't know lanes, like MinIO; that comes first.
func SubjectsDropped() []string {
	all := make([]string, 0, SourceLanes+2)
	all = append(all, SubjectDropped, SubjectDropped+"."+laneUrgent)
	for lane := range SourceLanes {
		all = append(all, droppedLane(lane))
	}
	return all
}

// IsDropped says whether drops wait on a subject.
func IsDropped(subject string) bool {
	return subject == SubjectDropped || strings.HasPrefix(subject, SubjectDropped+".")
}

// UrgentDropped says whether what waits on a subject takes no turns.
func UrgentDropped(subject string) bool { return subject == SubjectDropped+"."+laneUrgent }

// SubjectDroppedOf is where drops of a tenant wait: in a lane of its own, in which they may wait for as long as a quota says.
func SubjectDroppedOf(tenant string) string { return SubjectDropped + "." + tenantLane + tenant }

// tenantLane begins the lanes of tenants.
const tenantLane = "tenant-"

// TenantDropped is the tenant whose drops wait on a subject, "" when they are not a tenant's.
func TenantDropped(subject string) string {
	name, _ := strings.CutPrefix(subject, SubjectDropped+"."+tenantLane)
	if name == subject {
		return ""
	}
	return name
}

func droppedLane(lane int) string { return fmt.Sprintf("%s.%02d", SubjectDropped, lane) }

// SubjectDroppedFrom is where drops of a source wait: a bucket's top-level folder, or what lies in none. Whoever drops a million files there waits in his own line.
func SubjectDroppedFrom(bucket, key string) string {
	folder, _, in := strings.Cut(key, "/")
	if !in {
		folder = ""
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(bucket + "/" + folder)) // never fails
	return droppedLane(int(h.Sum32() % SourceLanes))
}

// Subject is where the hint is published.
func (d Dropped) Subject() string {
	s, err := d.Source()
	switch {
	case err != nil:
		return SubjectDropped
	case d.Urgent():
		return SubjectDropped + "." + laneUrgent
	}
	return SubjectDroppedFrom(s.Bucket, s.Key)
}

// Urgent says whether the hint knows that the drop is; a hint that a listing gives does not.
func (d Dropped) Urgent() bool {
	const option = "priority"
	if asked, ok := d.Set[option]; ok {
		return asked == job.LaneInteractive
	}
	if len(d.Records) != 1 {
		return false
	}
	for name, value := range d.Records[0].S3.Object.UserMetadata {
		if strings.TrimPrefix(strings.ToLower(name), "x-amz-meta-") == job.MetadataPrefix+option {
			return value == job.LaneInteractive
		}
	}
	return false
}

// With is the hint with the object's metadata, by which it may be urgent.
func (d Dropped) With(metadata map[string]string) Dropped {
	d.Records = append([]DroppedRecord{}, d.Records...)
	for i := range d.Records {
		d.Records[i].S3.Object.UserMetadata = metadata
	}
	return d
}
