package predict

import (
	"encoding/json"
	"fmt"
)

// saved is a key's row as it is written.
type saved struct {
	Key   Key           `json:"key"`
	Cells map[int]*cell `json:"cells"`
}

// Keys lists the keys of which something was seen.
func (p *Predictor) Keys() []Key {
	keys := make([]Key, 0, len(p.cells))
	for k := range p.cells {
		keys = append(keys, k)
	}
	return keys
}

// Save writes what was seen of a key, for Restore in another process.
func (p *Predictor) Save(k Key) ([]byte, error) {
	out := saved{Key: k, Cells: map[int]*cell{}}
	if row := p.cells[k]; row != nil {
		for b, c := range row {
			if c == nil {
				continue
			}
			c.Sparse = map[int]float64{}
			for i, w := range c.Weights {
				if w > 1e-6 {
					c.Sparse[i] = w
				}
			}
			out.Cells[b] = c
		}
	}
	return json.Marshal(out)
}

// Restore takes what Save wrote, unless something of that key was seen here already.
func (p *Predictor) Restore(data []byte) error {
	var in saved
	if err := json.Unmarshal(data, &in); err != nil {
		return fmt.Errorf("read peaks of memory: %w", err)
	}
	if p.cells[in.Key] != nil {
		return nil
	}
	row := &[buckets]*cell{}
	for b, c := range in.Cells {
		if b < 0 || b >= buckets || c == nil || c.Seen < 0 || c.Recent < 0 {
			return fmt.Errorf("read peaks of memory: bucket %d makes no sense", b)
		}
		for i, w := range c.Sparse {
			if i < 0 || i >= bins || w < 0 {
				return fmt.Errorf("read peaks of memory: bin %d makes no sense", i)
			}
			c.Weights[i] = w
		}
		row[b] = c
	}
	p.cells[in.Key] = row
	return nil
}
