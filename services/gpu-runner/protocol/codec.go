package protocol

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// Encode returns m as one line with its line end. It refuses what the other side would refuse.
func Encode(m Message) ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("encode %s: %w", m.kind(), err)
	}
	body, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", m.kind(), err)
	}
	line := append([]byte(`{"type":"`+m.kind()+`"`), ',')
	if len(body) == len("{}") {
		line = line[:len(line)-1]
	}
	line = append(line, body[1:]...)
	if len(line) > MaxLine {
		return nil, fmt.Errorf("encode %s: %d bytes, a line has at most %d", m.kind(), len(line), MaxLine)
	}
	return append(line, '\n'), nil
}

// Decode reads one line, with or without its line end. Every error wraps ErrBroken.
func Decode(line []byte) (Message, error) {
	line = bytes.TrimSuffix(line, []byte("\n"))
	m, err := decode(line)
	if err != nil {
		return nil, fmt.Errorf("%w: %w (line begins %q)", ErrBroken, err, head(line))
	}
	return m, nil
}

func decode(line []byte) (Message, error) {
	if len(line) > MaxLine {
		return nil, tooLong()
	}
	if !utf8.Valid(line) {
		return nil, errors.New("not UTF-8")
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(line, &fields); err != nil {
		return nil, fmt.Errorf("not a JSON object: %w", err)
	}
	var kind string
	if err := json.Unmarshal(fields["type"], &kind); err != nil {
		return nil, errors.New("no type")
	}
	m := blank(kind)
	if m == nil {
		return nil, fmt.Errorf("unknown type %q", kind)
	}
	if err := required(m, line); err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	if err := json.Unmarshal(line, m); err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	return m, nil
}

func tooLong() error { return fmt.Errorf("a line of more than %d bytes", MaxLine) }

// head is enough of a line to recognise what spoke, and not so much that a log drowns in it.
func head(line []byte) []byte { return line[:min(len(line), 80)] }
