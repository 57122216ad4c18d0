package event

import "time"

// SubjectServers is where gpu-runners tell how the servers of models are that their workers share (request and reply; every gpu-runner with such servers
// answers, whatever the request says).
const SubjectServers = "pdf.servers"

// ServersAnswer is one gpu-runner's answer.
type ServersAnswer struct {
	Host    string   `json:"host"`
	Servers []Server `json:"servers"`
}

// Server is a shared server of models at one moment.
type Server struct {
	Name      string    `json:"name"`
	URL       string    `json:"url"`
	External  bool      `json:"external,omitempty"` // somebody else runs it; it is only watched
	Device    string    `json:"device,omitempty"`
	State     string    `json:"state"`            // unloaded, starting, idle (it works), backoff (it is started again), quarantined
	Reason    string    `json:"reason,omitempty"` // of the state
	Since     time.Time `json:"since"`
	PID       int       `json:"pid,omitempty"`
	Restarts  int       `json:"restarts"` // starts after the first; of an external one, how often it came back
	LastError string    `json:"last_error,omitempty"`
	Log       string    `json:"log,omitempty"` // the end of what its latest process has printed
}

// ServerWorks is the State of a server that answers.
const ServerWorks = "idle"
