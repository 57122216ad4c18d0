package checker

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/nats-io/nats.go/jetstream"
)

// Counts is what counts for a tenant.
type Counts struct {
	Documents     int64
	Bytes         int64
	DeviceSeconds float64 `json:"device_seconds"`
}

func (c *Counts) add(o Counts) {
	c.Documents, c.Bytes, c.DeviceSeconds = c.Documents+o.Documents, c.Bytes+o.Bytes, c.DeviceSeconds+o.DeviceSeconds
}

// CheckCounts says what counts for a tenant, by day, and what must not be: each document that was dropped (how large each is, in bytes, by bucket and key) counts once, each
// range of pages that an engine has worked on counts once, and the sums of the days are those of what counted.
func CheckCounts(ctx context.Context, js jetstream.JetStream, s3 *minio.Client, tenant string, dropped map[string]int64) (days map[string]Counts, faults []string, err error) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	kv, err := js.KeyValue(ctx, "pdf_usage")
	if err != nil {
		return nil, nil, err
	}
	keys, err := kv.Keys(ctx)
	if err != nil {
		return nil, nil, err
	}
	days = map[string]Counts{}
	var told, counted Counts // by the sums, and one by one
	worked := 0
	for _, key := range keys {
		entry, err := kv.Get(ctx, key)
		if err != nil {
			return nil, nil, err
		}
		var value struct {
			Tenant, Day string
			Counts
		}
		if err := json.Unmarshal(entry.Value(), &value); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", key, err)
		}
		switch {
		case value.Tenant != tenant:
		case strings.HasPrefix(key, "day."):
			days[value.Day] = value.Counts
			told.add(value.Counts)
		default:
			counted.add(value.Counts)
			if value.DeviceSeconds > 0 {
				worked++
			}
		}
	}
	size := int64(0)
	for _, n := range dropped {
		size += n
	}
	if told.Documents != int64(len(dropped)) || told.Bytes != size {
		fault("%d documents of %d bytes count for %s, of %d documents of %d bytes", told.Documents, told.Bytes, tenant, len(dropped), size)
	}
	if told.Documents != counted.Documents || told.Bytes != counted.Bytes || math.Abs(told.DeviceSeconds-counted.DeviceSeconds) > 1e-6*told.DeviceSeconds {
		fault("the days of %s say %+v, and what counted is %+v", tenant, told, counted)
	}
	objects, err := List(ctx, s3, Bucket)
	if err != nil {
		return nil, nil, err
	}
	ranges := 0
	for key := range objects {
		if strings.HasPrefix(key, "tenants/"+tenant+"/") && strings.HasSuffix(key, "/result.json") {
			ranges++
		}
	}
	if worked != ranges || worked == 0 {
		fault("%d ranges count for %s, and there are results of %d", worked, tenant, ranges)
	}
	return days, faults, nil
}
