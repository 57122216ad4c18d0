package ingest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/crashpoint"
	"github.com/pdfmill/pdfmill/pipeline/document"
	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/object"
	"github.com/pdfmill/pdfmill/pipeline/stage"
	"github.com/pdfmill/pdfmill/pipeline/tenant"
)

// handle is the stage.Handler of lanes that are no tenant's.
func (s *Service) handle(ctx context.Context, d stage.Delivery[event.Dropped]) ([]stage.Output, error) {
	return s.handleIn(ctx, "", d)
}

// handleIn handles a hint in the lane of a tenant, or in one of nobody's. Its only output is a hint that waits elsewhere: see the package's comment for why it
// publishes the rest by itself.
func (s *Service) handleIn(ctx context.Context, lane string, d stage.Delivery[event.Dropped]) ([]stage.Output, error) {
	asked, err := d.Body.Source()
	if err != nil {
		return nil, failure.New(failure.InvalidMessage, "read hint", d.Body.Key, err)
	}
	if !slices.ContainsFunc(s.config.inboxes(), func(i inbox) bool { return i.holds(asked) }) {
		return nil, failure.Newf(failure.InvalidMessage, "take", asked.Path(), "it is not an inbox, nor in one: inboxes are %s", strings.Join(s.config.Inbox, ", ")).
			WithHint("name it with --inbox, or stop its notifications")
	}
	was, found, err := s.sources.Get(ctx, asked)
	if err != nil {
		return nil, unnoted(asked, err)
	}
	owner, _ := s.tenancy.Of(asked)
	elsewhere := owner.Name != lane && !d.Body.Urgent()
	seen, err := s.look(ctx, asked, found || elsewhere)
	defer seen.close()
	if errors.Is(err, object.ErrNotFound) {
		return nil, gone(asked, d.Body.Pass, was, found)
	}
	if err != nil {
		return nil, err
	}
	source := sourceOf(seen.Info)
	same := found && was.Source.Version() == source.Version()
	taken := same && was.Job != ""
	if d.Body.Pass == 0 && taken && !s.doubts(was) {
		return nil, nil
	}
	if elsewhere && !taken { // else it is a second look, which waits for no quota
		return s.moved(ctx, d, source, owner)
	}
	err = s.take(ctx, d.Body, seen, owner, was, same)
	if err == nil {
		return nil, nil
	}
	if errors.Is(err, errWaits) {
		return s.moved(ctx, d, source, owner)
	}
	if ctx.Err() == nil && !same {
		s.answered(ctx, source)
	}
	// MinIO tells of the moment of the event, a listing of the object's: the failure is the object's, whoever told of it.
	about := d.Body.Of(source)
	return nil, &stage.Known{Work: about.Work(), ID: about.MessageID(), Err: err}
}

// take makes the object's present state a job.
func (s *Service) take(ctx context.Context, d event.Dropped, seen present, owner tenant.Tenant, was jet.Taken, same bool) error {
	source, now := sourceOf(seen.Info), s.now()
	options, correlationID, err := wishes(seen.Metadata, d.Set)
	if err != nil {
		return failure.New(failure.InvalidMessage, "read options of", source.Path(), err).
			WithHint("correct the object's metadata and drop it again, or replay it with --set")
	}
	if options.Needs == "" {
		options.Needs = s.config.needs(source)
	}
	if source.Size > s.config.MaxBytes {
		return failure.Newf(failure.LimitBytes, "take", source.Path(), "it has %d bytes, more than the limit of %d", source.Size, s.config.MaxBytes).
			WithHint("raise --ingest-max-bytes")
	}
	if err := s.count(ctx, owner, source); err != nil {
		return err
	}
	if source.SHA256, err = s.keep(ctx, seen); err != nil {
		return err
	}
	crashpoint.Reach(stage.Ingest, crashpoint.AfterStore)
	j := job.New(source, options, correlationID, now).For(owner.Name)
	j.Pass = d.Pass
	if d.Pass > 0 || !same || was.Job == "" || was.Source.SHA256 != source.SHA256 { // else it was a second look, and nothing is new
		if err := s.platform.Broker.Insist(ctx, s.log, event.Ingested{Job: j}.Output()); err != nil {
			return err
		}
		crashpoint.Reach(stage.Ingest, crashpoint.AfterPublish)
	}
	taken := jet.Taken{Source: source, Job: j.ID, TakenAt: now.UTC(), Racy: s.mayDeceive(source) && racy(source.ModTime, now)}
	if err := s.sources.Put(ctx, taken); err != nil {
		return unnoted(source, err)
	}
	return nil
}

// inside refuses an object that is no file of its inbox's folder: the gateway follows symbolic links, to wherever they lead. It returns the file, nil when there is none.
func (s *Service) inside(source document.Source) (fs.FileInfo, error) {
	dir, isFile := s.config.Directories[source.Bucket]
	if !isFile {
		return nil, nil //nolint:nilnil // nothing to look at
	}
	_, about, err := place(dir, source.Key)
	switch {
	case errors.Is(err, errLinked):
		return nil, failure.New(failure.InvalidMessage, "take", source.Path(), err)
	case errors.Is(err, fs.ErrInvalid):
		return nil, failure.New(failure.InvalidMessage, "take", source.Path(), errors.New(reasonForeign))
	case err == nil && !about.Mode().IsRegular():
		return nil, failure.New(failure.InvalidMessage, "take", source.Path(), errors.New(reasonSpecial))
	}
	if err != nil {
		return nil, nil //nolint:nilnil,nilerr // what can't be looked at can't be read either, and that says why
	}
	return about, nil
}

// doubts says whether what was taken wants its second look now.
func (s *Service) doubts(was jet.Taken) bool { return was.Racy && !s.now().Before(settledAt(was)) }

// mayDeceive says whether the object can change and keep its ETag: as a file that is overwritten in place, or where the store gives none.
func (s *Service) mayDeceive(source document.Source) bool {
	_, isFile := s.config.Directories[source.Bucket]
	return isFile || source.ETag == ""
}

// answered notes that a message answers for this state of the object, whatever becomes of it: the listing needs to drop it no more, now or after the broker
// has forgotten the message's id. Failing to note it costs a second dead letter at worst.
func (s *Service) answered(ctx context.Context, source document.Source) {
	t := jet.Taken{Source: source, TakenAt: s.now().UTC()}
	if err := s.sources.Put(ctx, t); err != nil {
		s.log.Warn("could not note that a drop failed", "err", err)
	}
}

// gone decides about an object that is not there. Who takes a document and deletes it is not wrong; a document that was deleted before anybody read it
// must end where somebody sees it.
func gone(asked document.Source, pass int, was jet.Taken, found bool) error {
	if pass == 0 && found && was.Job != "" && !was.TakenAt.Before(asked.ModTime) {
		return nil
	}
	return failure.New(failure.SourceGone, "read", asked.Path(), errors.New("it was deleted before it could be read")).WithHint("drop it again")
}

// wishes are the options of a drop: those of the object, changed by those of a replay.
func wishes(metadata, set map[string]string) (job.Options, string, error) {
	options, correlationID, err := job.FromMetadata(metadata)
	faults := []error{err}
	if len(set) > 0 && err != nil { // a replay may be about replacing the very option that was wrong
		kept := maps.Clone(metadata)
		maps.DeleteFunc(kept, func(key, _ string) bool {
			name, ours := strings.CutPrefix(strings.ToLower(key), job.MetadataPrefix)
			_, replaced := set[name]
			return ours && replaced
		})
		options, correlationID, err = job.FromMetadata(kept)
		faults = []error{err}
	}
	for _, name := range slices.Sorted(maps.Keys(set)) {
		faults = append(faults, options.Set(name, set[name]))
	}
	return options, correlationID, errors.Join(faults...)
}

func sourceOf(info object.Info) document.Source {
	return document.Source{
		Bucket: info.Bucket, Key: info.Key, ETag: info.ETag, Size: info.Size, ModTime: info.ModTime.UTC().Truncate(time.Second),
	}
}

func unnoted(source document.Source, err error) error {
	return failure.New(failure.StoreUnavailable, "remember", source.Path(), fmt.Errorf("%s: %w", jet.KVSources, err)).WithHint("check NATS")
}
