package jet

import (
	"errors"
	"fmt"
	"slices"

	"github.com/pdfmill/pdfmill/pipeline/deadletter"
	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/stage"
)

// Roles beside the stages, which are roles too.
const (
	RoleUser     = "user"     // reads events
	RoleOperator = "operator" // sees everything, replays and drops dead letters
	RoleGateway  = "gateway"  // an object store that tells of what was dropped into it
	RoleAdmin    = "admin"    // may do everything: applies the topology
)

// Roles is every role, in the order of the pipeline.
func Roles() []string {
	return []string{RoleGateway, stage.Ingest, stage.Validator, stage.GPURunner, stage.Publisher, RoleUser, RoleOperator, RoleAdmin}
}

// Rights are the subjects that a NATS user may publish and subscribe to, and nothing else; nil is everything.
type Rights struct {
	Publish       []string
	Subscribe     []string
	DenyPublish   []string // taken out of what Publish allows
	DenySubscribe []string // taken out of what Subscribe allows, also when a wildcard asks for it
}

// InboxPrefix is where replies to a role arrive. Nobody else may listen there, but to a user's, for which stock clients know only the default.
func InboxPrefix(role string) string {
	if role == RoleUser || role == RoleGateway {
		return "_INBOX"
	}
	return "_INBOX_" + role
}

// Sweeps says whether a stage's process buries what kills others. That takes the right to read and delete any message of the work queue, so that
// stages that open documents, or run what does, don't.
func Sweeps(stageName string) bool { return stageName == stage.Ingest || stageName == stage.Publisher }

// Desks says whether a stage's process answers operators' requests and sweeps what nobody needs: the one that never opens a document.
func Desks(stageName string) bool { return stageName == stage.Publisher }

// ErrNoRole says that a role is none of Roles.
var ErrNoRole = errors.New("no such role")

// Rights are what a role needs on a server with this topology, made from the same table as its streams and consumers.
func (t Topology) Rights(role string) (Rights, error) {
	g := &grants{api: "$JS.API.", engines: t.Engines}
	if t.Domain != "" {
		g.api = "$JS." + t.Domain + ".API."
	}
	g.subscribe(InboxPrefix(role) + ".>")
	switch role {
	case RoleAdmin:
		return Rights{}, nil
	case RoleGateway:
		g.publish(dropping()...)
	case RoleUser:
		g.user()
	case RoleOperator:
		g.operator()
	case stage.Ingest:
		for _, subject := range t.dropSubjects() {
			g.stage(role, subject)
		}
		g.publish(dropping()...)
		g.publish(event.SubjectIngested)
		g.keyValue(KVSources, true)
		g.keyValue(KVLeases, false)
		g.watch(KVTenants)
		g.keyValue(KVUsage, true)
	case stage.Validator:
		g.stage(role, event.SubjectIngested)
		g.ranges()
		g.publish(event.SubjectRendered)
	case stage.GPURunner:
		for _, engine := range t.Engines {
			for _, lane := range Lanes() {
				g.stage(role, event.SubjectValidated(engine, lane))
			}
		}
		g.ranges()
		g.publish(event.SubjectRendered)
		g.write(KVPeaks)
		g.watch(KVPeaks)
		g.subscribe(event.SubjectGPU, event.SubjectServers) // and answers
		g.publish(InboxPrefix(RoleOperator) + ".>")
	case stage.Publisher:
		g.stage(role, event.SubjectRendered)
		g.publish(event.SubjectConverted)
		g.keyValue(KVUsage, true)
		g.watch(KVTenants)
		g.ask("CONSUMER.CREATE." + StreamEvents + "." + couriers().Durable)
		g.consume(StreamEvents, couriers().Durable)
		g.publish(tenantSpace + "*.event.*")
		g.couriers = true
	default:
		return Rights{}, fmt.Errorf("%w: %q (there are %v)", ErrNoRole, role, Roles())
	}
	if Sweeps(role) {
		g.sweeper()
	}
	if Desks(role) {
		g.desk()
	}
	for i := range looks {
		if !g.looks && role != RoleOperator {
			g.reserve(StreamEvents, lookName(i), false)
		}
	}
	g.reserve(StreamEvents, couriers().Durable, g.couriers)
	g.reserve(StreamAdvisories, crashLoops().Durable, Sweeps(role))
	return g.rights(), nil
}

// grants collects rights.
type grants struct {
	api      string
	engines  []string
	couriers bool // it brings tenants' events
	looks    bool // it looks through events
	all      Rights
}

func (g *grants) rights() Rights {
	for _, list := range []*[]string{&g.all.Publish, &g.all.Subscribe, &g.all.DenyPublish, &g.all.DenySubscribe} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	return g.all
}

func (g *grants) publish(subjects ...string) { g.all.Publish = append(g.all.Publish, subjects...) }
func (g *grants) subscribe(subjects ...string) {
	g.all.Subscribe = append(g.all.Subscribe, subjects...)
}

// ask allows requests to JetStream's API.
func (g *grants) ask(requests ...string) {
	for _, r := range requests {
		g.publish(g.api + r)
	}
}

// stage lets a stage consume its subject, say what it is at, hear of cancellations, and bury its own dead, unless their job has ended already.
func (g *grants) stage(name, subject string) {
	c := Consumer(subject)
	g.ask("STREAM.INFO."+StreamJobs, "CONSUMER.CREATE."+StreamJobs+"."+c.Durable+"."+c.FilterSubject)
	g.consume(StreamJobs, c.Durable)
	g.publish(deadletter.SubjectOf(name, "*"), event.SubjectFailed)
	g.keyValue(KVJobs, false)
	g.keyValue(KVEnds, true)
	g.looks = true
	g.ask("STREAM.INFO." + StreamEvents)
	for i := range looks {
		of := StreamEvents + "." + lookName(i)
		g.ask("CONSUMER.CREATE."+of, "CONSUMER.INFO."+of, "CONSUMER.MSG.NEXT."+of, "CONSUMER.DELETE."+of)
	}
}

// consume lets somebody pull from a durable consumer.
func (g *grants) consume(stream, durable string) {
	g.ask("CONSUMER.INFO."+stream+"."+durable, "CONSUMER.MSG.NEXT."+stream+"."+durable)
	g.publish("$JS.ACK." + stream + "." + durable + ".>")
}

// dropping is where drops are told of: in lanes, and without by those who know none.
func dropping() []string { return []string{event.SubjectDropped, event.SubjectDropped + ".*"} }

// ranges lets a stage queue work for engines.
func (g *grants) ranges() {
	for _, engine := range g.engines {
		g.publish(event.SubjectValidated(engine, "*"))
	}
}

// read lets somebody read keys.
func (g *grants) read(bucket string) {
	stream := "KV_" + bucket
	if g.ask("STREAM.INFO." + stream); bucket == KVUsage { // which is read where it is written
		g.ask("STREAM.MSG.GET." + stream)
		return
	}
	g.ask("DIRECT.GET." + stream + ".$KV." + bucket + ".>")
}

// keyValue lets somebody read and write keys, and follow what others write.
func (g *grants) keyValue(bucket string, follow bool) {
	g.read(bucket)
	g.write(bucket)
	if follow {
		g.watch(bucket)
	}
}

// write lets somebody write keys.
func (g *grants) write(bucket string) {
	keys := "$KV." + bucket + ".>"
	g.publish(keys)
	if g.api != "$JS.API." {
		g.ask(keys) // what the client makes of it in a domain
	}
}

// watch lets somebody follow what is written to a KV bucket: the server pushes it.
func (g *grants) watch(bucket string) {
	stream := "KV_" + bucket
	g.ask("STREAM.INFO."+stream, "CONSUMER.CREATE."+stream+".>", "CONSUMER.DELETE."+stream+".>")
	g.publish("$JS.FC." + stream + ".>")
}

// follow lets somebody read a stream from any place on, with consumers of its own, which the subjects of requests name: one that names none there may name any in its body,
// also one that others share.
func (g *grants) follow(stream string) {
	g.ask("STREAM.INFO."+stream, "CONSUMER.CREATE."+stream+".>", "CONSUMER.INFO."+stream+".>",
		"CONSUMER.MSG.NEXT."+stream+".>", "CONSUMER.DELETE."+stream+".>")
}

// push lets stock clients have a stream pushed to them, under the server's flow control.
func (g *grants) push(stream string) { g.publish("$JS.FC." + stream + ".>") }

// reserve keeps a durable consumer, which pdfmill's processes share, from those who may follow its stream: whoever deletes it, changes it or takes from it keeps from
// others what it is for. Those whose it is may not delete it either.
func (g *grants) reserve(stream, durable string, own bool) {
	deny := func(subjects ...string) { g.all.DenyPublish = append(g.all.DenyPublish, subjects...) }
	of := stream + "." + durable
	deny(g.api + "CONSUMER.DELETE." + of)
	if !own {
		deny(g.api+"CONSUMER.CREATE."+of, g.api+"CONSUMER.CREATE."+of+".>", g.api+"CONSUMER.DURABLE.CREATE."+of, g.api+"CONSUMER.MSG.NEXT."+of, "$JS.ACK."+of+".>")
	}
}

// look lets somebody read single messages of a stream: of that of dead letters each of its servers gives them, of others the one that leads.
func (g *grants) look(stream string) {
	if stream == StreamDead {
		g.ask("DIRECT.GET." + stream)
		return
	}
	g.ask("STREAM.MSG.GET." + stream)
}

// sweeper lets a process bury what kills others.
func (g *grants) sweeper() {
	durable := crashLoops().Durable
	g.ask("CONSUMER.CREATE."+StreamAdvisories+"."+durable, "STREAM.INFO."+StreamJobs, "CONSUMER.LIST."+StreamJobs, "STREAM.MSG.GET."+StreamJobs, "STREAM.MSG.DELETE."+StreamJobs)
	g.consume(StreamAdvisories, durable)
	g.publish(deadletter.Subjects, event.SubjectFailed, event.SubjectRendered)
	g.publish(append(dropping(), event.SubjectIngested)...) // what is stranded comes again
	g.ranges()
}

// desk lets a process do for others what an operator may do to dead letters and queued jobs.
func (g *grants) desk() {
	g.subscribe(DeskSubject+".>", "$SRV.>")
	g.publish("_INBOX.>", InboxPrefix(RoleOperator)+".>") // the answers
	g.follow(StreamDead)
	g.look(StreamDead)
	g.look(StreamEvents)
	g.ask("STREAM.MSG.DELETE."+StreamDead, "CONSUMER.INFO."+StreamJobs+".*")
	g.keyValue(KVReplays, false)
	g.keyValue(KVLeases, false)
	g.publish(deadletter.Subjects, event.SubjectDropped+".*", event.SubjectIngested)
}

// user may follow events, also with a consumer of its own, and no other subject.
func (g *grants) user() {
	g.subscribe("pdf.>") // what a person types; the server leaves out the rest
	g.all.DenySubscribe = append(Streams(1)[0].Subjects, deadletter.Subjects)
	g.ask("INFO", "STREAM.NAMES", "STREAM.LIST", "CONSUMER.NAMES."+StreamEvents, "CONSUMER.LIST."+StreamEvents, "CONSUMER.DURABLE.CREATE."+StreamEvents+".>")
	g.follow(StreamEvents)
	g.push(StreamEvents)
	g.look(StreamEvents)
	g.publish("$JS.ACK." + StreamEvents + ".>")
}

// operator sees all and changes nothing but dead letters: it replays and drops them, and makes some by cancelling.
func (g *grants) operator() {
	g.subscribe("pdf.>", "_INBOX.>", "$JS.EVENT.ADVISORY.>")
	g.ask("INFO", "STREAM.NAMES", "STREAM.LIST", "CONSUMER.NAMES.*", "CONSUMER.LIST.*", "CONSUMER.INFO.*.*", "STREAM.MSG.DELETE."+StreamDead,
		"STREAM.INFO."+StreamJobs) // and looks, because a consumer of the work queue would take work away
	for _, stream := range []string{StreamJobs, StreamEvents, StreamDead, StreamAdvisories} {
		g.look(stream)
		if stream != StreamJobs {
			g.follow(stream)
		}
	}
	for _, kv := range KeyValues(1) {
		g.read(kv.Bucket)
		g.watch(kv.Bucket)
	}
	for _, bucket := range []string{KVJobs, KVEnds, KVReplays, KVLeases} { // to rebuild, to cancel, to replay, and while it does what only one may
		g.write(bucket)
	}
	g.publish(event.SubjectDropped+".*", event.SubjectIngested) // to replay
	g.publish(deadletter.Subjects, event.SubjectFailed, event.SubjectGPU, event.SubjectServers, DeskSubject+".>")
}
