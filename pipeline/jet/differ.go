package jet

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// differences are the settings in which is and want differ, by their JSON names. With partly, only those that want sets count: the server fills in the others.
func differences(is, want any, partly bool) ([]Field, error) {
	have, err := settings(is)
	if err != nil {
		return nil, err
	}
	wish, err := settings(want)
	if err != nil {
		return nil, err
	}
	names := maps.Clone(wish)
	if !partly {
		maps.Copy(names, have)
	}
	var fields []Field
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if have[name] != wish[name] {
			fields = append(fields, Field{Name: name, From: have[name], To: wish[name]})
		}
	}
	return fields, nil
}

// settings is a configuration as its JSON fields, without those that say nothing: zero, none, -1 for no limit, what the server notes for itself.
func settings(config any) (map[string]string, error) {
	data, err := json.Marshal(config)
	if err != nil {
		return nil, fmt.Errorf("marshal configuration: %w", err)
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	out := map[string]string{}
	for name, value := range raw {
		text := string(value)
		switch text {
		case "0", "-1", "false", `""`, "null", "{}", "[]", `"none"`:
			continue
		}
		if name == "metadata" {
			var pairs map[string]string
			if err := json.Unmarshal(value, &pairs); err != nil {
				return nil, fmt.Errorf("read metadata: %w", err)
			}
			maps.DeleteFunc(pairs, func(key, _ string) bool { return strings.HasPrefix(key, "_nats.") })
			if len(pairs) == 0 {
				continue
			}
			own, err := json.Marshal(pairs) // in the order of keys
			if err != nil {
				return nil, fmt.Errorf("marshal metadata: %w", err)
			}
			text = string(own)
		}
		out[name] = text
	}
	return out, nil
}

// losses says what a stream would lose if it became as wanted.
func losses(ctx context.Context, s jetstream.Stream, want jetstream.StreamConfig) ([]string, error) {
	info, err := s.Info(ctx)
	if err != nil {
		return nil, err
	}
	is, state := info.Config, info.State
	var out []string
	lose := func(format string, v ...any) { out = append(out, fmt.Sprintf(format, v...)) }
	if is.Retention != want.Retention || is.Storage != want.Storage {
		lose("retention and storage can't be changed in place (drain it, delete it, apply again)")
	}
	if want.Replicas < is.Replicas {
		lose("%d replicas instead of %d survive fewer servers (name --replicas %d, or --force)", want.Replicas, is.Replicas, is.Replicas)
	}
	if state.Msgs == 0 {
		return out, nil
	}
	if is.Discard == jetstream.DiscardNew && want.Discard == jetstream.DiscardOld {
		lose("it would forget the oldest of its %d messages when it is full, instead of refusing new ones", state.Msgs)
	}
	if want.MaxBytes > 0 && state.Bytes > uint64(want.MaxBytes) {
		lose("it holds %d bytes, more than the new limit of %d", state.Bytes, want.MaxBytes)
	}
	if want.MaxMsgs > 0 && state.Msgs > uint64(want.MaxMsgs) {
		lose("it holds %d messages, more than the new limit of %d", state.Msgs, want.MaxMsgs)
	}
	if want.MaxAge > 0 && time.Since(state.FirstTime) > want.MaxAge {
		lose("its oldest message is of %s, older than the new limit of %s", state.FirstTime.UTC().Format(time.RFC3339), want.MaxAge)
	}
	if tighter(want.MaxMsgsPerSubject, is.MaxMsgsPerSubject) && state.Msgs > state.NumSubjects {
		lose("some subjects hold more messages than the new limit of %d", want.MaxMsgsPerSubject)
	}
	for _, subject := range is.Subjects {
		if slices.Contains(want.Subjects, subject) {
			continue
		}
		stranded, err := s.Info(ctx, jetstream.WithSubjectFilter(subject))
		if err != nil {
			return nil, err
		}
		if n := len(stranded.State.Subjects); n > 0 {
			lose("messages on %d subjects of %s would belong to nobody", n, subject)
		}
	}
	return out, nil
}

// tighter compares limits of which 0 and -1 are none.
func tighter(want, is int64) bool { return want > 0 && (is <= 0 || want < is) }
