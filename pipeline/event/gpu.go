package event

import "time"

// SubjectGPU is where gpu-runners answer requests for their devices (request and reply; every gpu-runner with a GPU answers).
const SubjectGPU = "pdf.gpu"

// LongestLoan bounds how long devices are lent at once.
const LongestLoan = 24 * time.Hour

// Actions of a GPURequest.
const (
	GPULend   = "lend"   // workers leave the device once their jobs in hand are done, and stay away for Seconds; answered when its memory is free
	GPUReturn = "return" // the loan is over
	GPUStatus = "status"
)

// GPURequest asks a gpu-runner for its devices.
type GPURequest struct {
	Action  string  `json:"action"`
	Host    string  `json:"host,omitempty"`    // whose GPUs; "" is everybody's. Others answer as if asked for their status
	Device  string  `json:"device,omitempty"`  // id; "" is every GPU
	Seconds float64 `json:"seconds,omitempty"` // of a loan: more than 0, at most LongestLoan
}

// GPUAnswer is one gpu-runner's answer.
type GPUAnswer struct {
	Host    string      `json:"host"`
	Error   string      `json:"error,omitempty"`
	Until   time.Time   `json:"until,omitzero"` // of a loan
	Free    int64       `json:"free,omitempty"` // bytes free on the lent devices, as the driver sees them
	Devices []GPUDevice `json:"devices"`
}

// KindHost is the Kind of the host's memory.
const KindHost = "host"

// GPUDevice is one device's books, in bytes.
type GPUDevice struct {
	ID        string `json:"id"`
	Model     string `json:"model"`
	Kind      string `json:"kind"` // gpu, mig (a part of one), sim (simulated), host (the host's memory, of which workers need some as well)
	Total     int64  `json:"total"`
	Used      int64  `json:"used"`
	Strangers int64  `json:"strangers"`
	Residents int64  `json:"residents"`
	Reserved  int64  `json:"reserved"`
	Free      int64  `json:"free"`
	Workers   int    `json:"workers"`
	Jobs      int    `json:"jobs"`
	Closed    string `json:"closed,omitempty"` // why nothing new starts there: lent, lost, in quarantine
}
