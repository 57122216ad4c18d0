// Package crashpoint lets a fault test kill a service process exactly between two steps of its work. It does nothing unless it is built with the tag
// crashpoints, which no release is.
package crashpoint

// Steps of the stage loop at which a process can be made to die, in the order in which a message passes them.
const (
	BeforeWork   = "before-work"   // the message is decoded, nothing is done
	AfterCount   = "after-count"   // the document counts for its tenant, or the engine's time does
	MidStore     = "mid-store"     // some of the objects of a result are in the store
	AfterStore   = "after-store"   // results are in the store, nothing is published
	AfterPublish = "after-publish" // what follows is published
	AfterBury    = "after-bury"    // a dead letter is published, its job's ending is not
	BeforeAck    = "before-ack"    // all is done but the acknowledgement
	AfterAck     = "after-ack"     // the acknowledgement is confirmed
)

// Env is the variable that names where to die: "STAGE/STEP".
const Env = "PDFMILL_CRASHPOINT"
