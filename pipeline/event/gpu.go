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
	Device  string  `json:"device,omitempty"` // id; "" is every GPU
	Seconds float64 `json:"seconds,omitempty"`
}

// GPUAnswer is one gpu-runner's answer.
type GPUAnswer struct {
	Host    string      `json:"host"`
	Error   string      `json:"error,omitempty"`
	Until   time.Time   `json:"until,omitzero"` // of a loan
	Free    int64       `json:"free,omitempty"` // bytes free on the lent devices, as the driver sees them
	Devices []GPUDevice `json:"devices"`
}

// GPUDevice is one device's books, in bytes.
type GPUDevice struct {
	ID        string `json:"id"`
	Model     string `json:"model"`
	Total     int64  `json:"total"`
	Used      int64  `json:"used"`
	Strangers int64  `json:"strangers"`
	Residents int64  `json:"residents"`
	Reserved  int64  `json:"reserved"`
	Free      int64  `json:"free"`
	Workers   int    `json:"workers"`
	Jobs      int    `json:"jobs"`
	Closed    string `json:"closed,omitempty"`
}
